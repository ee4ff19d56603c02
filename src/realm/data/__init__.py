"""Sessions: read recordings, align behavior, split in time, prepare, sample windows, simulate.

`nwb` reads a recording, `prepare` turns it into a prepared session file, `sessions` reads that file
back and `windows` draws training windows from many of them. `simulate` makes recordings with a
known answer, `nwb_write` stores them as NWB.
"""
