"""The Mamba-2 mixer as compiled loops around matrix products, for training on one CPU thread."""
