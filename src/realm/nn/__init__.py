"""The networks: Mamba-2 encoders, session adapters, student, teacher and losses (torch)."""
