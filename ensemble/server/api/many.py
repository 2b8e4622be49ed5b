"""The API's jobs over many GPUs: ComfyQueue's sibling, with the workers of `farm`.

This ComfyUI takes jobs in, checks them, keeps the journal and gives pictures out; workers render.
Those of a cluster outlive this process, and the next one takes them over with what they have.
"""

import inspect
import logging
import os
import sys
import threading
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ...cluster.address import AddressError, read_address
from ...cluster.events import PoolLostError, StoppedError
from ...cluster.inputs import Pictures
from ...cluster.lasting import owner_of
from ...cluster.machine import Machine
from ...cluster.pool import NoRayError, RayPool, connect, disconnect
from ...cluster.run import Farm
from .book import Book
from .queue import ComfyQueue, Graph, QueueSnapshot

if TYPE_CHECKING:
    from server import PromptServer

logger = logging.getLogger(__name__)

RETRY = 20.0  # seconds until Ray is tried again
# Of this process alone: a worker's ComfyUI has its own, or none, and looks for a GPU itself. The second
# group has values.
_OWN = ("--cpu", "--auto-launch", "--disable-auto-launch", "--multi-user", "--enable-manager")
_OWN_VALUES = (
    *("--listen", "--port", "--tls-keyfile", "--tls-certfile", "--cuda-device", "--default-device"),
    *("--output-directory", "--temp-directory", "--user-directory", "--input-directory"),
    *("--database-url", "--front-end-version", "--front-end-root"),
)


class ManyQueue:
    """`start` before the first job, `close` at the end."""

    runs_here = False

    def __init__(
        self, server: "PromptServer", address: str, gpus: int | None, inputs: Path, output: Path
    ) -> None:
        """`address` as read_address takes it; `gpus` workers, or one for every GPU."""
        self._local = ComfyQueue(server)
        self._address = read_address(address)
        self._gpus = gpus
        self._pictures = Pictures(inputs)
        self._book = Book(output)
        self._farm: Farm | None = None
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._work, name="ensemble-many", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """Workers on this machine's own Ray end with it; others finish what they have."""
        self._closed.set()
        with self._lock:
            if self._farm is not None:
                self._farm.leave()
        self._thread.join(timeout=20)

    async def check(self, prompt_id: str, graph: Graph) -> tuple[Graph, list[str]]:
        return await self._local.check(prompt_id, graph)

    def put(self, prompt_id: str, graph: Graph, outputs: list[str]) -> None:
        job = self._book.add(prompt_id, graph)
        with self._lock:
            if self._farm is not None:
                self._farm.add(job)

    def snapshot(self, wanted: Collection[str]) -> QueueSnapshot:
        return self._book.snapshot(wanted)

    def length(self) -> int:
        return self._book.left() + self._local.length()

    def _work(self) -> None:
        while not self._closed.is_set():
            try:
                self._drive()
            except (
                AddressError,
                ConnectionError,
                NoRayError,
                PoolLostError,
                StoppedError,
            ) as error:
                logger.error("the API's workers: %s; once more in %.0f s", error, RETRY)
            # Whatever it was, jobs wait in the journal; who drives them must go on.
            except Exception:
                logger.exception("the API's workers cannot be driven; once more in %.0f s", RETRY)
            self._closed.wait(RETRY)

    def _drive(self) -> None:
        found = connect(self._address, self._gpus)
        try:
            if not found and not self._gpus:
                raise StoppedError(
                    "Ray finds no GPU; ENSEMBLE_API_CLUSTER_GPUS starts so many all the same"
                )
            count = None if self._gpus is None else min(self._gpus, found)
            name = owner_of(self._book.out) if self._address.host else ""
            with (
                closing(RayPool(machine().setup(), count, name=name)) as pool,
                self._run(pool) as farm,
            ):
                farm.run()
        finally:
            disconnect()

    @contextmanager
    def _run(self, pool: RayPool) -> Iterator[Farm]:
        farm = Farm(
            ledger=self._book, results=self._book, pool=pool, pictures=self._pictures,
            say=lambda line: logger.info("the API's workers: %s", line), lasting=True,
        )  # fmt: skip
        with self._lock:
            self._farm = farm
            for job in self._book.again():
                farm.add(job)
        if self._closed.is_set():
            farm.leave()
        try:
            yield farm
        finally:
            with self._lock:
                self._farm = None


def machine() -> Machine:
    """This ComfyUI as workers start it."""
    import folder_paths

    arguments = worker_arguments(sys.argv[1:])
    # Its base_path may be another folder, of models and outputs alone.
    comfyui = Path(inspect.getfile(folder_paths)).parent
    return Machine(Path(sys.executable), comfyui, tuple(arguments))


def worker_arguments(arguments: Sequence[str]) -> list[str]:
    """ComfyUI's own without those that two of them cannot share; paths as they are from here."""
    kept: list[str] = []
    skipping = False
    for each in arguments:
        if each.startswith("--"):
            name = each.partition("=")[0]
            skipping = name in _OWN_VALUES and "=" not in each
            if name in _OWN or name in _OWN_VALUES:
                continue
            kept.append(each)
        elif not skipping:
            kept.append(os.path.abspath(each) if os.path.exists(each) else each)
    return kept
