"""rdbench: a benchmark and reproduction harness for variable-rate image compression."""

__version__ = "0.1.0"
