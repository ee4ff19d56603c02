"""Public recordings by name: what there is, fetching it, and sessions that the main job reads.

`registry` lists the datasets, one file each; `fetch` downloads what may be downloaded, `prepare`
turns files as their authors published them into NWB and a recipe.
"""
