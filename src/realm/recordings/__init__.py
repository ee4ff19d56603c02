"""Recordings: any supported file as LFP in volts on a uniform grid, and behavior beside it."""
