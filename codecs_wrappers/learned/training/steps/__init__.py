"""What a training step is made of: optimisers, fused kernels, annealing, likelihoods."""
