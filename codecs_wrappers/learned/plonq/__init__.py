"""PLONQ: nested quantization and latent ordering; one embedded bitstream whose every prefix decodes."""
