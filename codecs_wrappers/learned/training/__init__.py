"""The trainer of the learned codecs: ``python -m codecs_wrappers.learned.training NAME``; README.md is the manual.

Importing this package does not import torch; ``trainer.train`` is the function behind the command.
"""

DECIDES_NO_BITS = True  # of any codec: its code stays out of their hashes (bench/run/codec_state.py)
