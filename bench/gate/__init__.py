"""The regression gate: a run held against a stored baseline, and the verdict in several forms."""
