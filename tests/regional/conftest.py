"""Makes `import tiny` and `import small` work under pytest's importlib mode; nothing here needs gradients."""

import sys
from pathlib import Path

import pytest
import torch

HERE = Path(__file__).resolve().parent
sys.path += [str(HERE), str(HERE / "joint")]

import tiny  # noqa: E402


@pytest.fixture(scope="module")
def model():
    """The smallest UNet; tests that need another one make their own."""
    return tiny.model()


@pytest.fixture(scope="module", autouse=True)
def no_grad():
    with torch.no_grad():
        yield
