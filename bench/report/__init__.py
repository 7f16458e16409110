"""The page of a run: every table and plot, with each number one step away from its bitstreams."""

from bench.report.build import build

__all__ = ["build"]
