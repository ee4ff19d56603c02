"""`realm certify`: what a bundle does on this machine, measured check by check.

`registry.py` lists the parts; each is one function from a `Trial` to checks, readings and curves.
"""
