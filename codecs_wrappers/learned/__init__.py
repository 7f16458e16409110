"""Networks, training and weights behind the learned wrappers. Importing this package does not import torch."""
