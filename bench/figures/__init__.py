"""Figures: what figures.yaml specifies, drawn from a run's records."""
