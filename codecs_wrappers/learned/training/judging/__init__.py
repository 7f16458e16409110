"""How good a network is: held-out loss of each average of its weights, next to classical codecs."""
