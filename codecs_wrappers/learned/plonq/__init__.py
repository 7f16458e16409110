"""PLONQ: nested quantization and latent ordering; one embedded bitstream of which every prefix decodes."""
