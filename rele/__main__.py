"""``python -m rele`` is ``rele-cli``."""

import sys

from rele.cli import main

if __name__ == "__main__":
    sys.exit(main())
