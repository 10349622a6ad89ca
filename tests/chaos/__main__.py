"""`python -m tests.chaos --kills 300 [--minutes M] [--seed S]`; `make prove` reads its result."""

import sys

from tests.chaos.long_run import main

if __name__ == "__main__":
    sys.exit(main())
