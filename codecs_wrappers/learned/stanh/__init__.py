"""STanH: quantizers that are sums of tanh, on a mean-scale hyperprior or on the CNN of Zou et al. 2022."""
