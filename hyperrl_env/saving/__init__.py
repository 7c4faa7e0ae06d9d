"""States in files: checkpoints, whole files, identity."""
