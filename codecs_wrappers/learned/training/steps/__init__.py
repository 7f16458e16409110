"""The parts of a training step: optimisers, fused kernels, annealing, likelihoods."""
