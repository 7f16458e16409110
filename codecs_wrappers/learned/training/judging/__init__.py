"""Validation of a network: the held-out loss of each average of its weights, next to that of classical codecs."""
