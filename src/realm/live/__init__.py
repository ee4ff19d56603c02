"""Decoding beside a subject: sources of samples, sinks for behavior, and the loop between them.

numpy, scipy, numba and safetensors suffice; a source or sink that speaks a protocol of its own
needs that protocol's library, which is loaded when it is asked for.
"""
