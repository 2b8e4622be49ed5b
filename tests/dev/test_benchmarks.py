"""Benchmarks that paint with the taught people run to their end, at their quickest."""

import json
import os
import subprocess
import sys

import pytest

from dev.cache import ROOT

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    "name", ["taught", "identity", "defaults", "touching", "leak_paths --dolls --seeds 1 --steps 2"]
)
def test_it_gives_rows(name, tmp_path):
    rows = tmp_path / "rows.json"
    command = [sys.executable, ROOT / "dev", "bench", *name.split(), "--quick", "--json", rows]
    environment = {
        k: v for k, v in os.environ.items() if k not in ("COMFYUI_PATH", "ENSEMBLE_BASE")
    }
    subprocess.run(list(map(str, command)), check=True, env=environment, timeout=1200)
    assert json.loads(rows.read_text(encoding="utf-8"))
