"""Entropy coding in integers, without torch: tables of counts, and a range coder of which every prefix decodes."""
