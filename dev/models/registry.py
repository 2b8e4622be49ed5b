"""Which modules make small models.

To add one: write `def my_model(models: Path) -> None` that saves under `models/<kind>/`, in a
module of this folder, end the module with `MAKERS = [my_model]`, and name the module here. The
first line of its docstring is shown while it is made. Every change in this folder makes the whole
set anew (half a minute). Makers of one module may read the files of those before.
"""

MODULES = (
    "checkpoint",
    "loras",
    "nets",
    "segmenters",
    "pose",
    "recognition",
    "hosted",
    "dolls",
)
