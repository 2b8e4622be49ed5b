"""A scene: where it is and who stands in it, made from a random generator."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from .people import HEAD_RADIUS, IDENTITIES, Person
from .poses import Joint, Point, pose_body, reach
from .words import CHILDREN, CLOTHES, FEMALE, HAIRS, PATTERNS, PLACES, POSES, SKINS

SIZES: dict[str, tuple[int, int]] = {
    "portrait": (256, 384),
    "landscape": (384, 256),
    "square": (320, 320),
}
"""Width and height in pixels at scale 1."""
_STEP = 32  # sides are multiples of it: a UNet halves latents, which are 8 times smaller, twice
_SHAPES = {
    1: ("portrait", "portrait", "square"),
    2: ("portrait", "landscape", "square"),
    3: ("landscape", "landscape", "square"),
}
_MARGIN = 0.04  # left and right of everyone, in picture widths


@dataclass(frozen=True)
class Scene:
    """shape: a name of SIZES. people: from left to right in `make_scene`'s; later ones are painted
    over earlier. scale: of its sides against SIZES. arms_over: whose arms are painted once more, over
    everybody: people who put a hand on somebody in front of them."""

    shape: str
    place: str
    people: tuple[Person, ...]
    seed: int
    scale: float = 1.0
    arms_over: tuple[int, ...] = ()

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return scaled_size(self.shape, self.scale)

    def base_caption(self) -> str:
        """What holds for the whole picture."""
        return self._count() + self.place

    def caption(self, rng: random.Random | None = None) -> str:
        """Everything in one prompt; with `rng` some of it (see Person.caption)."""
        people = ", ".join(person.caption(rng) for person in self.people)
        place = f", {self.place}" if rng is None or rng.random() < 0.85 else ""
        return self._count() + people + place

    def _count(self) -> str:
        return ("", "", "two people, ", "three people, ")[len(self.people)]


def scaled_size(shape: str, scale: float) -> tuple[int, int]:
    """Width and height in pixels: SIZES by `scale`, down to what a UNet takes."""
    width, height = (int(side * scale) // _STEP * _STEP for side in SIZES[shape])
    return width, height


def make_scene(
    rng: random.Random,
    count: int | None = None,
    shape: str | None = None,
    identities: Sequence[int | None] | None = None,
    scale: float = 1.0,
) -> Scene:
    """A random scene of 1 to 3 people. `identities` says who stands where, left to right (None: an
    ordinary person), and how many there are."""
    number = count or rng.choices((1, 2, 3), (0.45, 0.37, 0.18))[0]
    wanted = list(identities) if identities is not None else [None] * number
    shape = shape or rng.choice(_SHAPES[len(wanted)])
    size = scaled_size(shape, scale)
    near = len(wanted) == 1 and rng.random() < 0.2
    people = []
    for index, identity in enumerate(wanted):
        person = _dressed(rng, identity)
        people.append(_placed(rng, person, (index, len(wanted)), size, near))
    people = _hand_in_hand(rng, people)
    people = [replace(person, joints=visible_joints(person, size)) for person in people]
    return Scene(shape, rng.choice(PLACES), tuple(people), rng.getrandbits(30), scale)


def _dressed(rng: random.Random, identity: int | None) -> Person:
    """A person in body and clothes, without a place. An identity uses up as many random numbers."""
    cls = rng.choice(("man", "woman", "man", "woman", "boy", "girl"))
    female = cls in FEMALE
    garment = rng.choice(("trousers", "shorts", "skirt") if female else ("trousers", "shorts"))
    skin, hair = rng.choice(list(SKINS)), rng.choice(list(HAIRS))
    length = rng.choice(("long", "short")) if female else "short"
    shirt, pattern = rng.choice(list(CLOTHES)), rng.choice(PATTERNS)
    bottom = (garment, rng.choice(list(CLOTHES)))
    hat = rng.choice(list(CLOTHES)) if rng.random() < 0.2 else ""
    glasses = rng.random() < 0.2
    pose = rng.choices(POSES, (4, 2, 1.5, 1.5, 1.5))[0]
    person = Person(cls, skin, hair, length, shirt, pattern, bottom, hat, glasses, pose)
    if identity is not None:
        person = as_identity(person, identity)
    turn, tilt = rng.uniform(-1, 1), rng.uniform(-0.14, 0.14)
    return replace(person, turn=turn, tilt=tilt, seed=rng.getrandbits(30))


def as_identity(person: Person, identity: int) -> Person:
    """The same body in the same place, as one of IDENTITIES."""
    who = IDENTITIES[identity]
    return replace(
        person, cls=who.cls, skin=who.skin, hair="", hair_length=who.hair_length, shirt=who.shirt,
        pattern="", bottom=who.bottom, hat="", glasses=False, identity=identity,
    )  # fmt: skip


def _placed(
    rng: random.Random, person: Person, slot: tuple[int, int], size: tuple[int, int], near: bool
) -> Person:
    """The person with joints in pixels, in slot (i, n) of a picture of `size`. near: so close that
    the legs are out of frame."""
    width, height = size
    head = HEAD_RADIUS[person.is_child]
    look = (person.turn, person.tilt)
    body = pose_body(rng, person.cls, person.pose, person.is_child, head, look)
    left, right = min(x for x, _ in body), max(x for x, _ in body)
    room = (width - 2 * (_MARGIN * width)) / slot[1]
    tall = height * rng.uniform(0.72, 0.9) * (0.72 if person.is_child else 1.0)
    tall = min(tall, room * (1.12 if slot[1] > 1 else 1.0) / (right - left + 0.1))
    ground = height * rng.uniform(0.93, 0.985)
    if near:
        tall = height * rng.uniform(1.15, 1.5)
    centre = _MARGIN * width + room * (slot[0] + 0.5) + rng.uniform(-0.08, 0.08) * room
    if near:
        top = min(body[Joint.HEAD][1] - 0.14, min(y for _, y in body))
        ground = height * rng.uniform(0.05, 0.1) - top * tall
    middle = (right + left) / 2
    joints = tuple((centre + (x - middle) * tall, ground + y * tall) for x, y in body)
    return replace(person, size=tall, all_joints=joints)


def _hand_in_hand(rng: random.Random, people: list[Person]) -> list[Person]:
    """Now and then standing neighbours hold hands."""
    people = list(people)
    for i in range(len(people) - 1):
        a, b = people[i], people[i + 1]
        if not (a.pose == b.pose == "standing" and rng.random() < 0.5):
            continue
        left, right = a.all_joints[Joint.L_SHOULDER], b.all_joints[Joint.R_SHOULDER]
        small = min(a.size, b.size)
        if right[0] > left[0] and right[0] - left[0] < 0.4 * small:
            meet = ((left[0] + right[0]) / 2, max(left[1], right[1]) + 0.2 * small)
            people[i] = _with_arm(a, Joint.L_SHOULDER, meet, 1)
            people[i + 1] = _with_arm(b, Joint.R_SHOULDER, meet, -1)
    return people


def _with_arm(person: Person, shoulder: Joint, hand: Point, bend: int) -> Person:
    bone = (0.245 if person.cls in CHILDREN else 0.3) * person.size / 2
    joints = list(person.all_joints)
    joints[shoulder + 1 : shoulder + 3] = reach(joints[shoulder], hand, bone, bone, bend)
    return replace(person, all_joints=tuple(joints))


def visible_joints(person: Person, size: tuple[int, int]) -> tuple[Point | None, ...]:
    """BODY_18 without joints out of frame and the ear behind a turned head."""
    hidden = {Joint.R_EAR} if person.turn < -0.6 else {Joint.L_EAR} if person.turn > 0.6 else set()
    return tuple(
        (x, y) if 0 <= x < size[0] and 0 <= y < size[1] and i not in hidden else None
        for i, (x, y) in enumerate(person.all_joints[: Joint.HEAD])
    )
