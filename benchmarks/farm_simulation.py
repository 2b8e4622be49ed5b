"""Jobs over GPUs on a clock of its own: the dispatcher's decisions, and nothing else. For `farm` and
the tests."""

import heapq
import math
import random
from dataclasses import dataclass

from ensemble.cluster.dispatch import RELOAD, Able, Dispatcher, Waiting
from ensemble.cluster.job import Needs

BOOT, OVERHEAD = 30.0, 0.01  # seconds
_UNIT = 512 * 512 * 20 / 15.0  # pixels a second, where the dispatcher's first guess is right


@dataclass(frozen=True)
class Course:
    """`efficiency` is work / (GPUs x time)."""

    seconds: float
    reloads: int
    efficiency: float
    outcomes: dict[str, int]


def make_jobs(count: int, checkpoints: int, seed: int = 1) -> list[tuple[str, float]]:
    """(checkpoint, seconds): 5 to 120 s (lognormal, median 14), checkpoints by Zipf, in random order."""
    rng = random.Random(seed)
    weights = [1 / (number + 1) for number in range(checkpoints)]
    names = rng.choices([f"c{n}" for n in range(checkpoints)], weights, k=count)
    return [(name, min(120.0, max(5.0, rng.lognormvariate(math.log(14), 0.75)))) for name in names]


def simulate(
    jobs: list[tuple[str, float]], gpus: int, *, noise: float = 0.0, deaths: float = 0.0
) -> Course:
    """`noise`: sigma of the log of how far off the estimates are; `deaths`: share of tries under which
    the worker dies and boots again."""
    rng = random.Random(2)
    queue = Dispatcher()
    true = {str(n): seconds for n, (_, seconds) in enumerate(jobs)}
    for number, (model, seconds) in enumerate(jobs):
        guess = seconds * _UNIT * math.exp(rng.gauss(0, noise))
        queue.add(Waiting(str(number), Needs(model=model, work=guess)))
    free = [(BOOT, worker) for worker in range(gpus)]
    loaded: dict[int, str] = {}
    up, idle, busy = set(), set(), {}
    outcomes: dict[str, int] = dict.fromkeys(true, 0)
    end = 0.0
    while free:
        at, worker = heapq.heappop(free)
        job, died = busy.pop(worker, (None, False))
        if job is not None and died:
            queue.leave(str(worker))
            queue.add_front(Waiting(job.key, job.needs, job.record, str(worker)))
            up.discard(worker)
            loaded.pop(worker, None)
            heapq.heappush(free, (at + BOOT, worker))
        elif job is not None:
            outcomes[job.key] += 1
            end = max(end, at)
        if job is None or not died:
            if worker not in up:
                up.add(worker)
                queue.arrive(str(worker), Able())
            idle.add(worker)
        for each in sorted(idle):
            job = queue.next_for(str(each), at)
            if job is None:
                continue
            idle.discard(each)
            load = RELOAD if loaded.get(each) != job.needs.model else 0.0
            loaded[each] = job.needs.model
            died = rng.random() < deaths
            busy[each] = job, died
            took = true[job.key] * (rng.random() if died else 1.0)
            heapq.heappush(free, (at + OVERHEAD + load + took, each))
    total = sum(true.values())
    return Course(end, queue.reloads, total / gpus / end, outcomes)
