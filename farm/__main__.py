"""`python custom_nodes/ensemble-portraits/farm jobs.jsonl --out pictures`; see docs/cluster.md."""

import os
import sys

if sys.version_info < (3, 10):
    found = "{}.{}".format(*sys.version_info[:2])
    sys.exit("farm: this is Python " + found + "; use Python 3.10, 3.11, 3.12 or 3.13")

# The pack's root in place of this folder: `ensemble` is imported from there.
sys.path[0] = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

from ensemble.cluster.cli import main  # noqa: E402

sys.exit(main(sys.argv[1:]))
