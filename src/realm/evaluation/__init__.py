"""Evaluation: metrics, baselines, the leak-free protocol, tables, figures and the report."""
