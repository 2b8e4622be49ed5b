"""`python dev bench`: run benchmarks/<name>.py in the engine and gather their rows."""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from . import DevError
from .base import prepare_base
from .cache import ROOT
from .cli import BENCHMARKS, benchmarks
from .engine import Engine

# glibc maps large activations anew at every layer and gives them back, and the pages it has to zero
# cost some methods a third of their time and others nothing. With these it keeps what it has.
STEADY = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(10**11)}


def run(engine: Engine, arguments: argparse.Namespace, others: list[str]) -> int:
    names = benchmarks()
    if arguments.name is not None and arguments.name not in names:
        raise DevError(f"no benchmark is called {arguments.name!r}; there are: {', '.join(names)}")
    environment = {**engine.environment(), **STEADY, "ENSEMBLE_BASE": str(prepare_base(engine))}
    rows: list[dict] = []
    failed = []
    for name in [arguments.name] if arguments.name else names:
        print(f"== {name}", flush=True)
        with tempfile.TemporaryDirectory() as folder:
            answer = Path(folder) / "rows.json"
            command = [str(engine.python), str(BENCHMARKS / f"{name}.py")]
            command += ["--quick"] if arguments.quick else []
            command += ["--json", str(answer)] if arguments.json else []
            done = subprocess.run([*command, *others], env=environment, cwd=ROOT, check=False)
            if done.returncode != 0:
                failed.append(name)
            elif arguments.json:
                found = json.loads(answer.read_text(encoding="utf-8"))
                rows += [{"benchmark": name, **row} for row in found]
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return int(bool(failed))
