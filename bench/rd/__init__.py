"""Rate-distortion curves and what is computed from them: Bjøntegaard deltas, intervals, tables, comparisons."""
