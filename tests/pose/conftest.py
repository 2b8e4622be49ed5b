"""controlnet_aux as the oracle, and people to draw."""

import importlib
import importlib.util
import sys
import types

import pytest


@pytest.fixture(scope="session")
def openpose():
    """controlnet_aux.open_pose, without the package's own __init__ (it fails beside some
    mediapipes)."""
    spec = importlib.util.find_spec("controlnet_aux")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("controlnet-aux is not installed: nothing to compare with")
    package = types.ModuleType("oracle_controlnet_aux")
    package.__path__ = list(spec.submodule_search_locations)
    sys.modules["oracle_controlnet_aux"] = package
    return importlib.import_module("oracle_controlnet_aux.open_pose")
