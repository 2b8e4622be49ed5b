"""Scenes by the thousand, drawn by several processes. No torch here: the drawers start faster."""

import multiprocessing
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.pool import IMapIterator
from types import TracebackType

import numpy as np

from ..world.picture import draw
from ..world.pose_map import skeleton_index
from ..world.poses import Joint
from ..world.scenes import Scene, make_scene
from ..world.words import tokens

VARIANTS, PEOPLE = 3, 3
SLOTS = 2 + PEOPLE
"""Captions of a scene in one wording: all of it, what holds everywhere, each person."""
_PATIENCE = 60.0  # seconds; a scene takes milliseconds
_SHARES = {"portrait": 0.36, "landscape": 0.36, "square": 0.28}


@dataclass(frozen=True)
class Job:
    """One scene to draw. identity: who must be in it, or None for ordinary people."""

    seed: int
    shape: str
    identity: int | None = None
    scale: float = 1.0


@dataclass(frozen=True)
class Rendered:
    """picture `[H,W,3]` and pose `[H,W]` (see pose_map.PALETTE) uint8; tokens `[VARIANTS,SLOTS,77]`
    int32; boxes `[PEOPLE,4]` left, top, right, bottom in parts of the picture, zeros for nobody; heads
    `[PEOPLE,2]` their middles in pixels, the first person's for nobody."""

    picture: np.ndarray
    pose: np.ndarray
    tokens: np.ndarray
    boxes: np.ndarray
    heads: np.ndarray


def jobs(
    count: int, base: int, identity: int | None = None, scale: float = 1.0
) -> dict[str, list[Job]]:
    """About `count` jobs by shape; seeds from `base`, a million for each shape."""
    return {
        shape: [
            Job(base + 1_000_000 * k + i, shape, identity, scale)
            for i in range(max(2, int(count * share)))
        ]
        for k, (shape, share) in enumerate(_SHARES.items())
    }


def render(job: Job) -> Rendered:
    rng = random.Random(job.seed)
    who = None
    if job.identity is not None:
        count = rng.choices((1, 2, 3), (0.6, 0.25, 0.15))[0]
        place = rng.randrange(count)
        who = [job.identity if i == place else None for i in range(count)]
    scene = make_scene(rng, shape=job.shape, identities=who, scale=job.scale)
    texts = [_captions(scene, rng) for _ in range(VARIANTS)]
    ids = [[tokens(text) for text in slots] for slots in texts]
    picture = np.asarray(draw(scene))
    pose, ids = skeleton_index(scene), np.array(ids, np.int32)
    return Rendered(picture, pose, ids, boxes(scene), _heads(scene))


def _captions(scene: Scene, rng: random.Random) -> list[str]:
    people = []
    for person in scene.people:
        text = person.caption(rng)
        people.append(text + (f", {scene.place}" if rng.random() < 0.85 else ""))
    return [scene.caption(rng), scene.base_caption(), *people] + [""] * (PEOPLE - len(people))


def boxes(scene: Scene) -> np.ndarray:
    """Rendered.boxes of a scene, within the picture."""
    width, height = scene.size
    found = np.zeros((PEOPLE, 4), np.float32)
    for i, person in enumerate(scene.people):
        found[i] = np.clip(np.array(person.box) / (width, height, width, height), 0, 1)
    return found


def _heads(scene: Scene) -> np.ndarray:
    people = [*scene.people, *[scene.people[0]] * PEOPLE][:PEOPLE]
    return np.array([person.all_joints[Joint.HEAD] for person in people], np.float32)


class Drawers:
    """Processes that draw; with one worker it is done here."""

    def __init__(self, workers: int):
        # Not forked: a process with CUDA and threads in it must not be.
        context = multiprocessing.get_context("spawn")
        self._pool = context.Pool(workers) if workers > 1 else None

    def __enter__(self) -> "Drawers":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._pool is not None:
            self._pool.terminate()
            self._pool.join()

    def render(self, wanted: Sequence[Job]) -> Iterator[Rendered]:
        """In order."""
        if self._pool is None:
            return map(render, wanted)
        return self._answers(self._pool.imap(render, wanted))

    @staticmethod
    def _answers(results: IMapIterator) -> Iterator[Rendered]:
        """A drawer that was killed never answers: multiprocessing.TimeoutError then."""
        while True:
            try:
                yield results.next(_PATIENCE)
            except StopIteration:
                return
