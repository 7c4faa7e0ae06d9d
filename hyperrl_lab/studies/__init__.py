"""Studies: many runs, declared once."""
