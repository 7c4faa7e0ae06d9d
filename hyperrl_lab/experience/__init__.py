"""Experience that agents carry from run to run: collected from the folders of runs."""
