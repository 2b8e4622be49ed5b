"""Which modules make small models. Each has a MAKERS list; makers of one module may read its
earlier files."""

import importlib
from collections.abc import Callable
from pathlib import Path

Maker = Callable[[Path], None]

MODULES = (
    "checkpoint",
    "loras",
    "controlnet",
    "upscaler",
    "restorer",
    "segmenters",
    "pose",
    "hosted",
    "dolls",
)


def makers() -> list[Maker]:
    return [
        maker for name in MODULES for maker in importlib.import_module(f"dev.models.{name}").MAKERS
    ]
