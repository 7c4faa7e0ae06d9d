"""The inner environments: made, vectorised, and their states."""
