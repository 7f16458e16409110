"""The regression gate: a run compared with a stored baseline, and the verdict in several formats."""
