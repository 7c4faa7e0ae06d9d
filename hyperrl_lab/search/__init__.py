"""Searches: hyperparameters chosen by many runs, one after the other or as a population."""
