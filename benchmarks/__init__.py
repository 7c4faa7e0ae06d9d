"""Comparisons of speed, memory and keys, run by hand: `python -m benchmarks` (see README.md)."""
