"""Hyper-agents: what chooses the hyperparameters."""
