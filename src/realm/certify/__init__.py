"""`realm certify`: what a bundle does on this machine, measured check by check."""
