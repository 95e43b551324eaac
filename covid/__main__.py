"""`python -m covid`: the same as `covid`."""

import sys

from covid.cli import main

if __name__ == "__main__":
    sys.exit(main())
