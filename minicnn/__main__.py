"""``python -m minicnn``: the command line."""

import sys

from minicnn.cli import main

sys.exit(main())
