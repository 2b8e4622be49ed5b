"""`python dev bench`: run benchmarks/<name>.py in the engine and gather their rows."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from .cache import ROOT
from .engine import Engine
from .errors import DevError
from .setup import prepare_base, prepare_engine

BENCHMARKS = ROOT / "benchmarks"


def names() -> list[str]:
    """The files in benchmarks/ that can be run; the others are what they share."""
    files = sorted(BENCHMARKS.glob("*.py"))
    return [path.stem for path in files if "def main(" in path.read_text(encoding="utf-8")]


def run(name: str | None, quick: bool, rows_file: Path | None, others: list[str]) -> int:
    if name is not None and name not in names():
        raise DevError(f"no benchmark is called {name!r}; there are: {', '.join(names())}")
    engine = prepare_engine()
    base = prepare_base(engine)
    rows: list[dict] = []
    failed = []
    for each in [name] if name else names():
        print(f"== {each}", flush=True)
        with tempfile.TemporaryDirectory() as folder:
            answer = Path(folder) / "rows.json"
            options = ["--quick"] if quick else []
            options += ["--json", str(answer)] if rows_file else []
            if run_one(engine, base, each, [*options, *others]) != 0:
                failed.append(each)
            elif rows_file:
                found = json.loads(answer.read_text(encoding="utf-8"))
                rows += [{"benchmark": each, **row} for row in found]
    if rows_file:
        rows_file.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return int(bool(failed))


# glibc maps large activations anew at every layer and gives them back, and the pages it has to zero
# cost some methods a third of their time and others nothing. With these it keeps what it has.
STEADY = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(10**11)}


def run_one(engine: Engine, base: Path, name: str, options: list[str]) -> int:
    command = [str(engine.python), str(BENCHMARKS / f"{name}.py"), *options]
    environment = {**engine.environment(), **STEADY, "ENSEMBLE_BASE": str(base)}
    return subprocess.run(command, env=environment, cwd=ROOT, check=False).returncode
