"""ResGDN: a base layer of quantized code maps and a BPG-coded residual layer."""
