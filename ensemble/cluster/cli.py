"""`farm`: a file of jobs over all GPUs, one picture each, exactly once."""

import argparse
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from ..prompt.cast import Cast, read_cast
from . import join
from .address import AddressError, read_address
from .comfy import ChildError
from .contact import places_of, write_html, write_png
from .dry import check_jobs
from .events import PoolLostError, StoppedError
from .inputs import Pictures
from .intake import Intake
from .job import BadLine, Job, State
from .ledger import Ledger, LedgerError, read_status
from .machine import Machine, MachineError, find_machine
from .pool import NoRayError, RayPool, connect, disconnect
from .results import LEDGER, Results
from .rows import SourceError, read_rows
from .run import Farm
from .sheet import expand_rows
from .worker import STALL

DONE, SOME_FAILED, STOPPED, INTERRUPTED = 0, 3, 4, 130
_SHOWN = 50
_TOLD = (
    *(AddressError, LedgerError, MachineError, NoRayError, PoolLostError, SourceError),
    *(ChildError, StoppedError, OSError),
)


def parser() -> argparse.ArgumentParser:
    whole = argparse.ArgumentParser(
        prog="farm",
        description="Renders every line of a file on all GPUs. Call it again to resume: what is done "
        "stays. Arguments after -- go to each ComfyUI. Exit code: 0 all done, 3 some failed, 4 it "
        "could not go on. `farm head` and `farm worker` make a cluster of several machines.",
    )
    whole.add_argument("jobs", metavar="JOBS", nargs="?",
                       help="a .jsonl or .csv file, a folder, or - for JSON Lines from stdin")  # fmt: skip
    whole.add_argument("--out", metavar="FOLDER", type=Path, required=True,
                       help="pictures, records and the ledger")  # fmt: skip
    whole.add_argument("--gpus", metavar="N|all", type=_gpus, default=None,
                       help="how many workers (default: all GPUs)")  # fmt: skip
    whole.add_argument("--cluster", metavar="HOST:6379",
                       help="a cluster of `farm head` (default: this machine)")  # fmt: skip
    whole.add_argument("--limit", metavar="N", type=_positive, help="at most N jobs in this run")
    whole.add_argument("--retry-failed", action="store_true", help="try failed jobs again")
    whole.add_argument("--dry-run", action="store_true",
                       help="compile every line and say what is wrong; nothing is rendered")  # fmt: skip
    whole.add_argument("--status", action="store_true",
                       help="how a run stands, also while it works")  # fmt: skip
    whole.add_argument("--cast", metavar="FILE", type=Path,
                       help="people by name: @ann in a line, and @each for everybody in turn")  # fmt: skip
    whole.add_argument("--seeds", metavar="N,N", type=_seeds, default=(),
                       help="every line once with each seed")  # fmt: skip
    whole.add_argument("--contact", action="store_true",
                       help="a contact sheet, contact.html and contact.png, that fills meanwhile")  # fmt: skip
    whole.add_argument("--measure", action="store_true",
                       help="the leak meter on each picture whose people all have faces in the cast")  # fmt: skip
    whole.add_argument("--pictures", metavar="FOLDER", type=Path,
                       help="where input pictures lie (default: the folder of JOBS)")  # fmt: skip
    whole.add_argument("--stall", metavar="SECONDS", type=float, default=STALL,
                       help="a graph that says nothing for so long is ended (default: %(default).0f)")  # fmt: skip
    whole.add_argument("--comfyui", metavar="FOLDER", type=Path,
                       help="the ComfyUI to run (default: the one this pack lies in)")  # fmt: skip
    whole.add_argument("--python", metavar="FILE", type=Path, help="the Python that runs it")
    return whole


def main(argv: Sequence[str]) -> int:
    """Run the command; its exit code."""
    arguments, comfy = _split(argv)
    try:
        if arguments[:1] and arguments[0] in join.ROLES:
            return join.main(arguments, comfy)
        asked = parser().parse_args(arguments)
        if asked.jobs is None and not asked.status:
            parser().error("the following arguments are required: JOBS")
        return _status(asked.out) if asked.status else _run(asked, comfy)
    except (
        KeyboardInterrupt
    ):  # before the run, whose own signals are watched; nothing is half taken in
        return INTERRUPTED
    except _TOLD as error:
        print(f"farm: {error}", file=sys.stderr, flush=True)
        return STOPPED


def _split(argv: Sequence[str]) -> tuple[list[str], list[str]]:
    if "--" not in argv:
        return list(argv), []
    at = list(argv).index("--")
    return list(argv[:at]), list(argv[at + 1 :])


def _run(asked: argparse.Namespace, comfy: list[str]) -> int:
    address = read_address(asked.cluster)
    source = Path(asked.jobs)
    folder = Path.cwd() if asked.jobs == "-" else source if source.is_dir() else source.parent
    pictures = Pictures(asked.pictures or folder)
    cast = _cast(asked.cast)
    rows = read_rows(asked.jobs, sys.stdin.buffer)
    if cast.members or asked.seeds:
        rows = expand_rows(rows, cast, asked.seeds)
    jobs = list(Intake(pictures, folder, cast, measure=asked.measure).jobs(rows))
    machine = find_machine(asked.comfyui, asked.python, comfy)
    if asked.dry_run:
        return _dry_run(check_jobs(jobs[: asked.limit], machine, pictures))
    results = Results(asked.out)
    with closing(Ledger(results.ledger)) as ledger:
        ledger.list_jobs(jobs)
        ledger.adopt(results.done())
        if asked.retry_failed:
            print(f"{ledger.retry_failed()} failed jobs are tried again", flush=True)
        sheet = _sheet(jobs, ledger, results) if asked.contact else None
        if ledger.counts()[State.WAITING]:
            gpus = connect(address, asked.gpus)
            try:
                with closing(_pool(machine, asked, gpus)) as pool:
                    farm = Farm(
                        ledger=ledger, results=results, pool=pool, pictures=pictures,
                        say=_say, limit=asked.limit, often=sheet,
                    )  # fmt: skip
                    stopped = _watching_signals(farm)
                    farm.run()
                    _say(farm.progress())
            finally:
                disconnect()
            if stopped():
                return INTERRUPTED
        if sheet is not None:
            sheet(False)
            write_png(places_of(jobs), results)
        return _report(ledger.counts(), ledger.failed())


def _sheet(
    jobs: Sequence[Job | BadLine], ledger: Ledger, results: Results
) -> Callable[[bool], None]:
    """Writes the contact sheet as it is now."""
    places = places_of(jobs)

    def write(running: bool) -> None:
        failed = {each.key: each.error for each in ledger.failed()}
        write_html(places, results, failed, running=running)

    return write


def _cast(path: Path | None) -> Cast:
    if path is None:
        return Cast()
    try:
        return read_cast(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise SourceError(f"{path}: {error}") from error


def _pool(machine: Machine, asked: argparse.Namespace, gpus: int) -> RayPool:
    count = asked.gpus
    if not gpus and count is None:
        raise MachineError("Ray finds no GPU; say --gpus N to start N workers all the same")
    setup = machine.setup() | {"stall": asked.stall}
    return RayPool(setup, None if count is None else min(count, gpus))


def _watching_signals(farm: Farm) -> Callable[[], bool]:
    """Ctrl+C: finish what runs; again: cancel it. Whether that was asked for."""
    asked: list[int] = []

    def stop(number: int, _: Any) -> None:
        asked.append(number)
        if len(asked) == 1:
            _say("stopping: what runs is finished; once more cancels it")
        farm.stop()
        if number == signal.SIGTERM:
            farm.stop()

    # After ray.init, which installs a handler of its own.
    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)
    return lambda: bool(asked)


def _dry_run(checked: Iterator[tuple[Job | BadLine, str]]) -> int:
    good = bad = 0
    told = time.monotonic()
    for job, error in checked:
        good, bad = (good, bad + 1) if error else (good + 1, bad)
        if error and bad <= _SHOWN:
            words = error.replace("\n", "; ")
            print(f"line {job.line} {job.name}: {words}", flush=True)
        if time.monotonic() - told > 10:
            told = time.monotonic()
            _say(f"{good + bad} lines read")
    print(f"{good} jobs that could run here, {bad} lines that could not")
    return SOME_FAILED if bad else DONE


def _status(out: Path) -> int:
    status = read_status(out / LEDGER)
    code = _report(status.counts, status.failed)
    left = status.counts[State.WAITING] + status.counts[State.RUNNING]
    if left and status.rate:
        print(f"{status.rate:.1f} jobs a minute; about {left / status.rate:.0f} min left")
    return code


def _report(counts: dict[State, int], failed: list[Any]) -> int:
    for each in failed[:_SHOWN]:
        words = each.error.replace("\n", "; ")
        print(f"line {each.line} {each.name or each.key}: {words}")
    if len(failed) > _SHOWN:
        print(f"... and {len(failed) - _SHOWN} more failed; all are in the ledger")
    left = counts[State.WAITING] + counts[State.RUNNING]
    print(f"done {counts[State.DONE]}, failed {len(failed)}, left {left}", flush=True)
    return SOME_FAILED if failed else DONE


def _say(line: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {line}", flush=True)


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return value


def _seeds(text: str) -> tuple[int, ...]:
    seeds = tuple(int(each) for each in text.split(","))
    if not all(0 <= each < 2**64 for each in seeds) or len(set(seeds)) < len(seeds):
        raise argparse.ArgumentTypeError("must be different whole numbers from 0, with commas")
    return seeds


def _gpus(text: str) -> int | None:
    return None if text == "all" else _positive(text)
