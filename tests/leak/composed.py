"""Pictures composed of drawn people whose identity is known, and whose colours tell who they are."""

import random

import numpy as np

from dolls.world import Scene, draw, identity_scores, make_scene


def scene(seed: int, identities: tuple[int, ...]) -> Scene:
    """They stand from left to right."""
    return make_scene(random.Random(seed), shape="landscape", identities=identities)


def similarity(scene: Scene, people: tuple[int, ...], faces: tuple[int, ...] | None = None):
    """`[faces,people]`: what the colours in each of the heads say of each of these identities, in
    parts of what a head shows of its own."""
    picture = np.asarray(draw(scene))
    boxes = [person.head_box for person in scene.people]
    shown = range(len(boxes)) if faces is None else faces
    alone = [own_score(p) for p in people]
    rows = [[identity_scores(picture, boxes[f])[p] for p in people] for f in shown]
    return np.array(rows).reshape(len(shown), len(people)) / alone


def own_score(identity: int) -> float:
    """What the head of this identity shows of it, alone in a picture."""
    one = make_scene(random.Random(1), shape="portrait", identities=(identity,))
    return identity_scores(np.asarray(draw(one)), one.people[0].head_box)[identity]
