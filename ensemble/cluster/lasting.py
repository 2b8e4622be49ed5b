"""Workers that outlive their driver: how a later one finds them, and ends those that do not fit."""

import contextlib
import hashlib
import inspect
import json
import socket
import sys
from pathlib import Path
from typing import Any


def owner_of(folder: Path) -> str:
    """Whose workers they are: of one program on one machine, told by a folder that it alone has."""
    who = f"{socket.gethostname()}:{folder.resolve()}"
    return "ensemble-" + hashlib.sha256(who.encode()).hexdigest()[:8]


class Names:
    """What workers are called that outlive their driver: by whose they are, and by what they are, so that
    those of another version or with other arguments end first and give their GPUs back."""

    def __init__(self, ray: Any, owner: str, setup: dict[str, Any], worker: type) -> None:
        code = "".join(inspect.getsource(sys.modules[m]) for m in _modules(worker))
        what = json.dumps(setup, sort_keys=True) + code
        self._prefix = f"{owner}-{hashlib.sha256(what.encode()).hexdigest()[:12]}-"
        found = set()
        for name in ray.util.list_named_actors():
            if name.startswith(self._prefix):
                found.add(name.removeprefix(self._prefix))
            elif name.startswith(f"{owner}-"):
                with contextlib.suppress(ValueError):  # it has ended by itself
                    ray.kill(ray.get_actor(name), no_restart=True)
        self.found = frozenset(found)

    def options(self, worker: str) -> dict[str, Any]:
        return {"name": self._prefix + worker, "lifetime": "detached", "get_if_exists": True}


def _modules(worker: type) -> list[str]:
    """Of this package, what goes over the wire with a worker."""
    package = worker.__module__.rpartition(".")[0]
    return [f"{package}.{each}" for each in ("worker", "comfy", "follow", "meter", "websocket")]
