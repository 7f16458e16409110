"""SPIHT: an embedded wavelet coder in numba. ``header`` is cheap to import, ``codec`` compiles."""
