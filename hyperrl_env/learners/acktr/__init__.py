"""ACKTR: the algorithm, its optimiser, and Kronecker factors."""
