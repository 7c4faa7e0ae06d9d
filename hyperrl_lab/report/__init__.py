"""The report: all runs of a folder as one page, which needs no network and no server."""
