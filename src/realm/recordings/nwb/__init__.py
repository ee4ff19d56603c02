"""Neurodata Without Borders: reading and writing."""
