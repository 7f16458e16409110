"""The mean-scale hyperprior: networks, transforms, the integer hyper-decoder, and the coding."""
