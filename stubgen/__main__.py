"""``python -m stubgen``."""

import sys

from stubgen.cli import main

if __name__ == "__main__":
    sys.exit(main())
