"""Makes `import tiny` (the small UNet of tests/regional) work under pytest's importlib mode."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parent))
sys.path.append(str(Path(__file__).resolve().parent.parent / "regional"))
