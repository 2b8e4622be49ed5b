"""stub"""

from pathlib import Path

from .engine import Engine


def built_comfyui() -> Path:
    return Path("/nonexistent")


def built_engine() -> Engine:
    raise NotImplementedError
