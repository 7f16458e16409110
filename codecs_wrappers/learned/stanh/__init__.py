"""STanH: quantizers that are a sum of tanh, on a mean-scale hyperprior or on the CNN of Zou et al. 2022."""
