"""Entropy coding in integers, without torch: tables of counts, and a range coder whose every prefix decodes."""
