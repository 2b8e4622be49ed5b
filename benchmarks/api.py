"""The API under load: submit and fetch latency, and a kill -9 in the middle.

20 clients submit 10 requests each, some seconds apart, and fetch what they have meanwhile. When
half of them are accepted and some pictures are there, the server is killed and started again; every
client sends again what it has, under the same ids. At the end every
accepted request has one picture, and no other picture was written.
"""

import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import requests

sys.path.append(str(Path(__file__).parent.parent))
from dev.base import engine_of_this_python, make_base, prepare_base
from dev.server import Server, free_port

SMALL = {"width": 64, "height": 64, "num_inference_steps": 1, "samples": 1}
PLAIN = {"enhance_prompt": "no", "tomesd": "no", "safety_checker": "no"}
PATH = "/ensemble/api/v4/dreambooth"
PAUSE = 0.2  # seconds between a client's fetches
PACE = 3.0  # at most, between a client's submissions before the kill
PICTURES = 3  # that are on the disk before it


class Load:
    """Clients that submit under ids of their own and send again what was not answered.

    `times` are seconds a call took, by kind.
    """

    def __init__(self, url: str, clients: int, each: int) -> None:
        self.url = url
        self.clients = [
            {f"{client}/{number}": self._body(client, number) for number in range(each)}
            for client in range(clients)
        ]
        self.bodies = {name: body for bodies in self.clients for name, body in bodies.items()}
        self.answers: dict[str, dict] = {}
        self.done: dict[str, dict] = {}
        self.tried: set[str] = set()
        self.times: dict[str, list[float]] = {"submit": [], "fetch": []}

    @staticmethod
    def _body(client: int, number: int) -> dict:
        prompt = f"client {client}, order {number}"
        ids = {"key": "", "model_id": "f222-diffusion", "track_id": f"{client}/{number}"}
        return {**ids, "prompt": prompt, **SMALL, **PLAIN}

    def post(self, kind: str, path: str, body: dict) -> dict | None:
        """The answer, or None where the server is gone."""
        started = time.perf_counter()
        try:
            answer = requests.post(self.url + path, json=body, timeout=30).json()
        except (requests.RequestException, ValueError):
            return None
        self.times[kind].append(time.perf_counter() - started)
        return answer

    def submit(self, name: str) -> None:
        answer = self.post("submit", PATH, self.bodies[name])
        if answer is not None:
            # A second try must get the first one's job.
            known = self.answers.setdefault(name, answer)
            assert known["id"] == answer["id"], (known, answer)

    def fetch(self, name: str) -> None:
        body = {"key": "", "request_id": self.answers[name]["id"]}
        answer = self.post("fetch", f"{PATH}/fetch", body)
        if answer is not None and answer["status"] != "processing":
            self.done[name] = answer

    def client(self, number: int, stop: threading.Event, pace: float) -> None:
        """Submit everything, fetching meanwhile, then fetch to the end or to `stop`."""
        names = list(self.clients[number])
        for name in names:
            stop.wait(random.uniform(0, pace))
            self.submit(name)
            known = [each for each in names if each in self.answers and each not in self.done]
            if known:
                self.fetch(random.choice(known))
        while not stop.is_set() and any(name not in self.done for name in names):
            for name in names:
                if name in self.answers and name not in self.done:
                    self.fetch(name)
            stop.wait(PAUSE)

    def keep_on(self, number: int, stop: threading.Event, pace: float) -> None:
        """One request after the other to `stop`, those first that got no answer, with a fetch now and
        then."""
        names = list(self.clients[number])
        while not stop.is_set():
            name = next(name for name in names if name not in self.answers)
            self.tried.add(name)
            self.submit(name)
            known = [each for each in names if each in self.answers and each not in self.done]
            if known:
                self.fetch(random.choice(known))
            stop.wait(random.uniform(0, pace))

    def start(self, stop: threading.Event, pace: float) -> list[threading.Thread]:
        threads = [
            threading.Thread(target=self.client, args=(number, stop, pace))
            for number in range(len(self.clients))
        ]
        for thread in threads:
            thread.start()
        return threads


@contextmanager
def api_server(base: Path, port: int) -> Iterator[Server]:
    switches = {"ENSEMBLE_API": "1", "ENSEMBLE_API_QUEUE": "1000"}
    with mock.patch.dict(os.environ, switches):
        server = Server(engine_of_this_python(), base, port)
        server.__enter__()
    try:
        yield server
    finally:
        server.stop()


def kill(server: Server) -> None:
    """End the server's process as a power cut would."""
    assert server._process is not None
    os.kill(server._process.pid, signal.SIGKILL)


def run_with_kill(load: Load, base: Path, port: int) -> dict[str, float]:
    """Everything from start to end, with the kill in the middle of it. Facts of the run."""
    saved = base / "output" / "ensemble"
    with api_server(base, port) as server:
        stop = threading.Event()
        threads = load.start(stop, PACE)
        half = len(load.bodies) // 2
        while len(load.answers) < half or len(list(saved.rglob("*.png"))) < PICTURES:
            time.sleep(0.02)
        kill(server)
        stop.set()
        for thread in threads:
            thread.join()
    facts: dict[str, float] = {
        "accepted before the kill": len(load.answers),
        "done before the kill": len(load.done),
    }
    started = time.perf_counter()
    with api_server(base, port):
        facts["seconds to start again"] = time.perf_counter() - started
        for thread in load.start(threading.Event(), 0.0):
            thread.join()
    return facts | check(load, saved)


def run_with_kills(load: Load, base: Path, port: int, seconds: float) -> dict[str, float]:
    """Kill after kill for so long, each after some pictures, then everything to its end. `load` needs
    more requests than can be sent. Facts of the run."""
    saved = base / "output" / "ensemble"
    end, kills = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        with api_server(base, port) as server:
            stop, before = threading.Event(), len(list(saved.rglob("*.png")))
            threads = [
                threading.Thread(target=load.keep_on, args=(number, stop, PACE))
                for number in range(len(load.clients))
            ]
            for thread in threads:
                thread.start()
            # A job that ran at three kills is given up, so each kill waits for pictures.
            while len(list(saved.rglob("*.png"))) < before + PICTURES:
                time.sleep(0.02)
            time.sleep(random.uniform(0, 2))
            kill(server)
            kills += 1
            stop.set()
            for thread in threads:
                thread.join()
    load.clients = [
        {name: body for name, body in bodies.items() if name in load.tried}
        for bodies in load.clients
    ]
    load.bodies = {name: body for bodies in load.clients for name, body in bodies.items()}
    facts: dict[str, float] = {"kills": kills, "accepted before": len(load.answers)}
    with api_server(base, port):
        for thread in load.start(threading.Event(), 0.0):
            thread.join()
    return facts | check(load, saved)


def check(load: Load, saved: Path) -> dict[str, float]:
    """What came of it; each job's files begin with its own id."""
    files = Counter(path.name.partition("_")[0] for path in saved.rglob("*.png"))
    links = [link for answer in load.done.values() for link in answer.get("output", ())]
    return {
        "submitted": len(load.bodies),
        "jobs": len({answer["id"] for answer in load.answers.values()}),
        "succeeded": sum(answer["status"] == "success" for answer in load.done.values()),
        "lost": len(load.bodies) - len(load.done),
        "with two pictures": sum(count > 1 for count in files.values()),
        "pictures": len(files),
        "links": len(set(links)),
    }


def row(kind: str, seconds: list[float]) -> dict[str, object]:
    ordered = sorted(seconds)
    at = [ordered[int(part * (len(ordered) - 1))] * 1000 for part in (0.5, 0.95, 0.99, 1)]
    names = ("median_ms", "p95_ms", "p99_ms", "max_ms")
    return {"call": kind, "calls": len(ordered), **dict(zip(names, at, strict=True))}


def main(argv: list[str] | None = None) -> int:
    import engine  # here, because a test takes the rest of this file

    arguments = engine.options(__doc__, "30 requests of 6 clients").parse_args(argv)
    clients, each = (6, 5) if arguments.quick else (20, 10)
    models = (prepare_base(engine_of_this_python()) / "models").resolve()
    with tempfile.TemporaryDirectory(prefix="ensemble-load-") as folder:
        base, port = make_base(Path(folder), models), free_port()
        load = Load(f"http://127.0.0.1:{port}", clients, each)
        facts = run_with_kill(load, base, port)
    rows = [row(kind, seconds) for kind, seconds in load.times.items()]
    print(engine.table(rows, list(rows[0])) + "\n")
    counts = [{"fact": name, "count": value} for name, value in facts.items()]
    print(engine.table(counts, ["fact", "count"]))
    engine.write_rows([*rows, facts], arguments.json)
    right = facts["succeeded"] == facts["pictures"] == facts["links"] == facts["submitted"]
    return int(not right or bool(facts["with two pictures"]))


if __name__ == "__main__":
    raise SystemExit(main())
