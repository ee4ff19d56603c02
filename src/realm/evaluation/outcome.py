"""placeholder"""
def write_outcome(*a): pass
def write_decoding(*a): pass
