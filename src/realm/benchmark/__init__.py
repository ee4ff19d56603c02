"""Every table and claim of the accuracy benchmark, from recordings, by command."""
