"""The workers as Ray actors: the only file that knows Ray.

One actor a GPU. Ray places them, notices their deaths and starts them again; retries of jobs are ours,
because Ray's own wait for that very actor to boot. One job is in flight at each, none queued behind it.
"""

import contextlib
import os
import socket
import sys
import threading
import time
from pathlib import Path
from typing import Any

from .address import Address, settings
from .dispatch import Able
from .events import Answer, Event, Lost, NotUp, PoolLostError, Ready
from .lasting import Names
from .worker import Worker

PIP_LINE = 'pip install "ray>=2.60,<3"'
BEAT = 15.0  # seconds between signs of life asked of a busy worker
SILENCE = 60.0  # seconds without one, and it is ended
RAY_SILENCE = 30.0  # seconds without an answer of Ray itself
_STORE = 100 * 2**20  # bytes of Ray's object store; a picture passes through it for a moment
_CONTROL = "control"


class NoRayError(RuntimeError):
    """Ray is not installed."""


def connect(address: Address, gpus: int | None = None) -> int:
    """Join that Ray, or start one on this machine with `gpus` (None: those that Ray finds). How many
    GPUs there are. Raises NoRayError, AddressError and ConnectionError.
    """
    wanted = settings(address, os.environ, Path.home())
    if wanted and "ray" in sys.modules:
        lines = ", ".join(f"{name}={value}" for name, value in wanted.items())
        raise ConnectionError(
            f"something else in this process has loaded Ray; set before its start: {lines}"
        )
    if address.host:
        _knock(address)
    os.environ.update(wanted)
    try:
        import ray
    except ImportError as error:
        raise NoRayError(f"many GPUs need Ray: {PIP_LINE}") from error
    # Worker-side code goes over the wire whole: machines need Ray and ComfyUI, not this pack.
    ray.cloudpickle.register_pickle_by_value(sys.modules[__package__ or ""])
    own: dict[str, Any] = {}
    if not address.host:
        own = {"num_gpus": gpus, "num_cpus": 1, "object_store_memory": _STORE}
        own["include_dashboard"] = False
    _init(ray, address, own)
    return int(ray.cluster_resources().get("GPU", 0))


def disconnect() -> None:
    """Leave Ray; one that `connect` started ends."""
    import ray

    ray.shutdown()


def _knock(address: Address) -> None:
    """Ray itself takes minutes to say that nobody is there."""
    try:
        socket.create_connection((address.host, address.port), timeout=10).close()
    except OSError as error:
        words = error.strerror or str(error)
        raise ConnectionError(
            f"nothing answers at {address.ray} ({words}); is `farm head` running there?"
        ) from error


def _init(ray: Any, address: Address, own: dict[str, Any]) -> None:
    """A Ray of our own gets three tries: on a busy machine its 30 s for starting are short."""
    for tries in (2, 1, 0) if own else (0,):
        try:
            ray.init(
                address.ray, log_to_driver=False, logging_level="ERROR", namespace="ensemble", **own
            )
            return
        # RuntimeError, ConnectionError, ray.exceptions.*, plain Exception: Ray has no one class for it.
        except Exception as error:
            ray.shutdown()
            reason = "".join(str(error).strip().splitlines()[:1])[:300]
            if not tries:
                where = f"Ray at {address.ray}" if address.host else "Ray on this machine"
                raise ConnectionError(f"{where} cannot be used: {reason}") from error


class RayPool:
    """Over a connected Ray."""

    def __init__(
        self, setup: dict[str, Any], count: int | None, *, worker: type = Worker, name: str = ""
    ) -> None:
        """`count` workers, or one for every GPU there is and will be; `worker` is what each is given
        `setup` as, and may be another class of the same methods. With a `name` they outlive this
        process, and those that an earlier one left under it, with the same setup, are taken over.
        """
        import ray

        self._ray = ray
        self._setup = setup
        self._count = count
        self._actors: dict[str, Any] = {}
        self._refs: dict[Any, tuple[str, str, str]] = {}  # ref -> (what, worker, key)
        self._aside: set[str] = set()
        self._beats: dict[str, tuple[Any, float]] = {}
        self._events: list[Event] = []
        self._actor = ray.remote(concurrency_groups={_CONTROL: 1}, num_gpus=1, num_cpus=0)(worker)
        self._names = Names(ray, name, setup, worker) if name else None
        self._watch = _Watch(ray)
        self._grow()

    def workers(self) -> frozenset[str]:
        return frozenset(self._actors)

    def send(self, worker: str, key: str, task: dict[str, Any]) -> None:
        ref = self._actors[worker].render.remote(task)
        self._refs[ref] = ("render", worker, key)
        self._beats[worker] = (None, time.monotonic())

    def cancel(self, worker: str, prompt_id: str) -> None:
        self._control(worker, "cancel", prompt_id)

    def held(self) -> dict[str, str]:
        here = self._names.found if self._names else frozenset()
        asked = {w: self._control(w, "progress") for w in self._actors.keys() & here}
        found = {}
        for worker, ref in asked.items():
            self._beats[worker] = (None, time.monotonic())  # it may hang, in what it was given
            with contextlib.suppress(Exception):  # it is dying, or was: then it has nothing
                found[worker] = self._ray.get(ref, timeout=10)["prompt_id"]
        return found

    def boot(self, worker: str) -> None:
        """Ray itself may repeat this call: it waits for an actor that is being started again."""
        ref = self._actors[worker].ready.options(max_task_retries=-1).remote()
        self._refs[ref] = ("ready", worker, "")

    def set_aside(self, worker: str) -> None:
        self._aside.add(worker)
        self._ray.kill(self._actors[worker], no_restart=True)

    def events(self, timeout: float) -> list[Event]:
        self._grow()
        self._beat()
        refs = list(self._refs)
        if refs and not self._events:
            ready, _ = self._ray.wait(refs, num_returns=1, timeout=timeout)
            if ready:
                ready, _ = self._ray.wait(refs, num_returns=len(refs), timeout=0)
            for ref in ready:
                self._hear(ref)
        elif not self._events:
            time.sleep(timeout)
        self._watch.check()
        found, self._events = self._events, []
        return found

    def close(self) -> None:
        """End the workers and their ComfyUIs, but those that have a name."""
        self._watch.close()
        if self._watch.lost or self._names:
            return
        here = self._actors.keys() - self._aside
        stops = [self._control(worker, "stop") for worker in here]
        with contextlib.suppress(Exception):
            self._ray.wait(stops, num_returns=len(stops), timeout=15)
        for worker in here:
            self._ray.kill(self._actors[worker], no_restart=True)

    def _grow(self) -> None:
        """One actor for each GPU that there is by now."""
        wanted = self._watch.gpus if self._count is None else self._count
        while len(self._actors) < wanted:
            name = f"gpu-{len(self._actors) + 1}"
            options: dict[str, Any] = {
                "num_gpus": 1,
                "num_cpus": 0,
                "max_restarts": -1,
                "max_task_retries": 0,
            }
            options |= self._names.options(name) if self._names else {}
            actor = self._actor.options(**options)
            self._actors[name] = actor.remote(self._setup)
            self.boot(name)

    def _control(self, worker: str, method: str, *arguments: object) -> Any:
        call = getattr(self._actors[worker], method).options(concurrency_group=_CONTROL)
        return call.remote(*arguments)

    def _hear(self, ref: Any) -> None:
        what, worker, key = self._refs.pop(ref)
        if worker in self._aside:
            return
        try:
            answer = self._ray.get(ref)
        except self._ray.exceptions.RayActorError as error:
            self._died(what, worker, key, error)
        # Of `ready`: ComfyUI did not come up. Of `render`: something nobody thought of.
        except Exception as error:
            words = str(getattr(error, "cause", None) or error).strip()
            self._events.append(Lost(worker, key, words) if key else NotUp(worker, words))
            if key:
                self.boot(worker)
        else:
            self._answered(what, worker, key, answer)

    def _answered(self, what: str, worker: str, key: str, answer: dict[str, Any]) -> None:
        if what == "ready":
            self._beats.pop(worker, None)
            able = Able(frozenset(answer["files"]), answer["memory"])
            self._events.append(Ready(worker, able, answer["host"], answer["boot"]))
            return
        self._beats.pop(worker, None)
        self._events.append(Answer(worker, key, answer))
        if answer.get("reboot"):
            self.boot(worker)

    def _died(self, what: str, worker: str, key: str, error: Exception) -> None:
        self._beats.pop(worker, None)
        if what == "render":
            self._events.append(Lost(worker, key, _in_short(error)))
            self.boot(worker)
        else:  # Ray repeats `ready` by itself where that can help
            self._events.append(NotUp(worker, _in_short(error)))

    def _beat(self) -> None:
        """A worker that hangs looks busy to Ray: ask busy ones for a sign of life."""
        now = time.monotonic()
        for worker, (ref, since) in list(self._beats.items()):
            if ref is not None and self._ray.wait([ref], timeout=0)[0]:
                self._beats[worker] = (None, now)
            elif ref is None and now - since > BEAT:
                self._beats[worker] = (self._control(worker, "progress"), now)
            elif ref is not None and now - since > SILENCE:
                self._end_hung(worker)

    def _end_hung(self, worker: str) -> None:
        self._beats.pop(worker)
        ref = next(r for r, (_, who, _) in self._refs.items() if who == worker)
        _, _, key = self._refs.pop(ref)
        self._ray.kill(self._actors[worker], no_restart=False)
        self._events.append(
            Lost(worker, key, f"its worker gave no sign of life for {SILENCE:.0f} s")
        )
        self.boot(worker)


class _Watch:
    """Asks Ray how it is, on a thread of its own: `ray.wait` says nothing of a Ray that has gone."""

    def __init__(self, ray: Any) -> None:
        self._ray = ray
        self._heard = time.monotonic()
        self._closed = threading.Event()
        self.lost = False
        self.gpus = int(ray.cluster_resources().get("GPU", 0))
        threading.Thread(target=self._ask, daemon=True).start()

    def check(self) -> None:
        silent = time.monotonic() - self._heard
        if silent > RAY_SILENCE:
            self.lost = True
            raise PoolLostError(f"Ray has not answered for {silent:.0f} s; is it still running?")

    def close(self) -> None:
        self._closed.set()

    def _ask(self) -> None:
        while not self._closed.wait(2.0):
            # Whatever it raises, it did not answer; `check` gives it time.
            with contextlib.suppress(Exception):
                self.gpus = int(self._ray.cluster_resources().get("GPU", 0))
                self._heard = time.monotonic()


def _in_short(error: Exception) -> str:
    """Ray's errors have pages; the cause is a line in them."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    cause = next((line for line in lines if "ause" in line or "ended" in line), "")
    if type(error).__name__ == "ActorDiedError" and "creation task" in str(error):
        cause = lines[-1]  # the end of its traceback
    return f"{type(error).__name__}: {cause or (lines or [''])[0]}"[:300]
