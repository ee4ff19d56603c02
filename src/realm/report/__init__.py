"""Everything that is shown: reports of runs and benchmarks, runs side by side, figures, tables."""
