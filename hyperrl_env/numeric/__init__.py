"""Arithmetic that several rooms share: arrays, layers, recurrences, random state."""
