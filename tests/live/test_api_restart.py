"""kill -9 in the middle of a load: nothing lost, nothing run to two different results."""

import os
import signal
import tempfile
import threading
from collections import Counter
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import requests

from dev.base import make_base
from dev.server import Server, free_port
from dev.setup import engine_of_this_python

CLIENTS, EACH = 6, 5


class Load:
    """Clients that submit under ids of their own and send again what was not answered."""

    def __init__(self, url: str, clients: int, each: int) -> None:
        self.url = url
        self.bodies = {
            f"client {client} order {number}": {
                **{"key": "", "model_id": "f222-diffusion", "prompt": f"{client} {number}"},
                **{"width": 64, "height": 64, "num_inference_steps": 1, "samples": 1},
                **{"enhance_prompt": "no", "tomesd": "no", "track_id": f"{client}/{number}"},
            }
            for client in range(clients)
            for number in range(each)
        }
        self.answers: dict[str, dict] = {}

    def submit(self, names: list[str], again: bool = False) -> None:
        for name in names:
            url, body = f"{self.url}/ensemble/api/v4/dreambooth", self.bodies[name]
            try:
                answer = requests.post(url, json=body, timeout=30).json()
            except requests.RequestException:
                if again:
                    raise
            else:
                self.answers.setdefault(name, answer)

    def start(self, clients: int) -> list[threading.Thread]:
        names = list(self.bodies)
        threads = [
            threading.Thread(target=self.submit, args=(names[client::clients],))
            for client in range(clients)
        ]
        for thread in threads:
            thread.start()
        return threads

    def fetch(self, name: str) -> dict:
        url = f"{self.url}/ensemble/api/v4/dreambooth/fetch"
        body = {"key": "", "request_id": self.answers[name]["id"]}
        return requests.post(url, json=body, timeout=30).json()


@contextmanager
def killable(base: Path, port: int):
    """A server with the API on, and the way to end it at once."""
    with ExitStack() as stack:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("ENSEMBLE_API", "1")
            running = stack.enter_context(Server(engine_of_this_python(), base, port))
        assert running._process is not None
        yield running, lambda: os.kill(running._process.pid, signal.SIGKILL)


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no kill -9 on Windows")
def test_nothing_is_lost_or_run_twice_over_a_kill():
    with tempfile.TemporaryDirectory(prefix="ensemble-kill-") as folder:
        models = (Path(os.environ["ENSEMBLE_BASE"]) / "models").resolve()
        base, port = make_base(Path(folder), models), free_port()
        load = Load(f"http://127.0.0.1:{port}", CLIENTS, EACH)
        with killable(base, port) as (_, kill):
            threads = load.start(CLIENTS)
            saved = base / "output" / "ensemble"
            while len(list(saved.rglob("*.png"))) < 5:
                assert any(thread.is_alive() for thread in threads) or load.answers
            kill()
            for thread in threads:
                thread.join()
        before = dict(load.answers)
        with killable(base, port):
            # Those without an answer, and those with one, as a careful client would.
            load.submit(list(load.bodies), again=True)
            done = finish(load)
        assert len(load.answers) == CLIENTS * EACH
        assert len({answer["id"] for answer in load.answers.values()}) == CLIENTS * EACH
        assert all(load.answers[name] == answer for name, answer in before.items())
        check_one_picture_each(saved, load, done)


def finish(load: Load) -> dict[str, dict]:
    done: dict[str, dict] = {}
    while len(done) < len(load.bodies):
        for name in load.bodies.keys() - done.keys():
            answer = load.fetch(name)
            if answer["status"] != "processing":
                done[name] = answer
    assert {answer["status"] for answer in done.values()} == {"success"}, done
    return done


def check_one_picture_each(saved: Path, load: Load, done: dict[str, dict]) -> None:
    """On the disk there is exactly what was answered: one picture for each accepted job."""
    files = Counter(path.name.partition("_")[0] for path in saved.rglob("*.png"))
    assert set(files.values()) == {1}
    links = [link for answer in done.values() for link in answer["output"]]
    assert len(set(links)) == len(links) == len(load.bodies) == len(files)
    for name, answer in done.items():
        assert answer["output"] == load.answers[name]["future_links"]
