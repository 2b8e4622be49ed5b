"""Makes `import tiny` work under pytest's importlib mode."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parent))
