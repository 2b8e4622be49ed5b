"""Makes `import tiny` and `import composed` work under pytest's importlib mode."""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path += [str(HERE), *(str(HERE.parent / room) for room in ("regional", "faces"))]
