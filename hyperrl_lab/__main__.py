"""`python -m hyperrl_lab`: the command line."""

import sys

from hyperrl_lab.cli import main

if __name__ == "__main__":
    sys.exit(main())
