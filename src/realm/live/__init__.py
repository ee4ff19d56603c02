"""Live decoding: sources of samples, sinks for behavior, and the loop between them.

It needs numpy, scipy, numba and safetensors. The library of a protocol (LSL, ZeroMQ, ...) is loaded
only when its source or sink is used.
"""
