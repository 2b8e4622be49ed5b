"""`python dev <command>`; says which Python it needs in words that an older one can still read."""

import os
import sys

if sys.version_info < (3, 10):
    found = "{}.{}".format(*sys.version_info[:2])
    sys.exit("python dev: this is Python " + found + "; use Python 3.10, 3.11, 3.12 or 3.13")

# The repository's root in place of this folder, whose modules belong to the package `dev`.
sys.path[0] = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

from dev.cli import main  # noqa: E402

sys.exit(main(sys.argv[1:]))
