"""The report of a run: one HTML page that needs no other file, and runs side by side."""
