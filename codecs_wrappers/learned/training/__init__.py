"""The trainer of the learned codecs: ``python -m codecs_wrappers.learned.training NAME``; README.md is the manual.

Importing this package does not import torch; ``trainer.train`` is the function behind the command.
"""

AFFECTS_BITSTREAM = False  # so no codec hash covers this code (bench/run/codec_state.py)
