"""Simulated sessions with a known answer, in memory and as NWB files."""
