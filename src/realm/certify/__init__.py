"""`realm certify`: measures what a bundle does on this machine, check by check.

`registry.py` lists the parts; each is one function from a `Trial` to checks, readings and curves.
"""
