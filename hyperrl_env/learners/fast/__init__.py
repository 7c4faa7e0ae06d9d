"""The fast backend: the same updates and rollouts written out in NumPy."""
