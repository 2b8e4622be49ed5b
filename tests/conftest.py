"""Loads the pack as `ensemble_portraits` on top of a real ComfyUI.

`python dev test` names the ComfyUI in COMFYUI_PATH and a base directory with small models in
ENSEMBLE_BASE; a plain `pytest` in an engine's Python finds both by asking `dev` for them.
"""

import importlib.util
import os
import sys
from pathlib import Path

import pytest
from hypothesis import settings

# A busy machine is no failure; that time grows linearly has tests of its own. The same examples at
# every run: new ones are for whoever looks for them (HYPOTHESIS_PROFILE=explore), not for a gate.
settings.register_profile("gate", deadline=None, derandomize=True)
settings.register_profile("explore", deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "gate"))

ROOT = Path(__file__).resolve().parent.parent
# Last, because the repository's `nodes` is not ComfyUI's.
sys.path.append(str(ROOT))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="also full-size models, scratch installs")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(ROOT / "tests" / "live"):
            item.add_marker(pytest.mark.live)
        elif item.path.is_relative_to(ROOT / "tests" / "browser"):
            item.add_marker(pytest.mark.browser)
    if not config.getoption("--slow"):
        slow = [item for item in items if item.get_closest_marker("slow")]
        config.hook.pytest_deselected(items=slow)
        items[:] = [item for item in items if item not in slow]


def _find_engine() -> tuple[Path, Path]:
    """The ComfyUI folder and the base directory to test on, both set up by now."""
    from dev import DevError
    from dev.base import engine_of_this_python, prepare_base

    try:
        engine = engine_of_this_python()
        base = os.environ.get("ENSEMBLE_BASE")
        return engine.comfyui, Path(base) if base else prepare_base(engine)
    except DevError as error:
        raise pytest.UsageError(str(error)) from error


def _load_comfyui() -> None:
    comfyui, base = _find_engine()
    os.environ["COMFYUI_PATH"] = str(comfyui)
    os.environ["ENSEMBLE_BASE"] = str(base)
    sys.path.insert(0, str(comfyui))
    import comfy.options

    comfy.options.enable_args_parsing(False)
    import torch
    from comfy.cli_args import args

    args.cpu = not torch.cuda.is_available()
    # Read when folder_paths is first imported: models, input, output, temp and user all follow it.
    args.base_directory = str(base)


def _load_pack() -> None:
    spec = importlib.util.spec_from_file_location(
        "ensemble_portraits", ROOT / "__init__.py", submodule_search_locations=[str(ROOT)]
    )
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["ensemble_portraits"] = module
    spec.loader.exec_module(module)
    # ComfyUI does this in on_load.
    module.register_model_folders()


_load_comfyui()
_load_pack()
