"""What a picture shows of a scene that it should show: the colours of hair, shirt and legs, and where they
are. A part's pixels are those of the drawing of the same scene."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from .people import IDENTITIES, Person
from .picture import draw, person_masks
from .poses import Joint
from .scenes import Scene, as_identity
from .words import CLOTHES, HAIRS, SIGNATURE, Colour

FAR = 24
"""Pixels in which a part is looked for, each way; a part that is not found is as far away as that."""
NEAR = 10
"""Pixels by which a part may be elsewhere and be the person's still."""
_LIKE = 60.0  # in RGB: how far a pixel may be from a colour and count half
_FLAT = 12.0  # in RGB: the drawing's pixels that are a part's colour itself, not its edge
_LEAST = 20  # pixels: smaller parts tell nothing
_FOUND = 0.25  # of a part's pixels have its colour, more than those round it


@dataclass(frozen=True)
class Part:
    """name: hair, shirt or legs. word: its colour's, a key of `palette`. mask: `[H,W]` of bool."""

    name: str
    word: str
    palette: dict[str, Colour]
    mask: np.ndarray


def parts(scene: Scene) -> list[list[Part]]:
    """Of each person, what is seen of them in one flat colour: patterns and hair under hats are left out."""
    pixels, owners = np.asarray(draw(scene)).astype(np.float32), person_masks(scene)
    return [
        [part for part in _of(person, pixels, owner) if part.mask.sum() >= _LEAST]
        for person, owner in zip(scene.people, owners, strict=True)
    ]


def _of(person: Person, pixels: np.ndarray, owner: np.ndarray):
    joints, rows = person.all_joints, np.arange(len(pixels))[:, None]
    neck, hips = joints[Joint.NECK][1], (joints[Joint.R_HIP][1] + joints[Joint.L_HIP][1]) / 2
    places = {"hair": rows < neck, "shirt": (rows > neck) & (rows < hips), "legs": rows > hips}
    words = {"legs": (person.bottom[1], CLOTHES)}
    if person.hair and not person.hat:
        words["hair"] = (person.hair, HAIRS)
    if not person.pattern:
        words["shirt"] = (person.shirt, CLOTHES)
    for name, (word, palette) in words.items():
        yield Part(name, word, palette, _flat(pixels, palette[word]) & owner & places[name])


def _flat(pixels: np.ndarray, colour: Colour) -> np.ndarray:
    """Where a drawing has this colour itself."""
    return np.sqrt(((pixels - np.float32(colour)) ** 2).sum(-1)) < _FLAT


def looks(picture: np.ndarray, scene: Scene, identities: Sequence[int]) -> np.ndarray:
    """`[people, len(identities)]`: how much of each identity's look (both hair colours, shirt, legs; each a
    quarter) RGB uint8 `[H,W,3]` shows at each person's place, in parts of what a drawing of it there shows."""
    return np.array([
        [_look(picture, scene, place, identity) for identity in identities]
        for place in range(len(scene.people))
    ])  # fmt: skip


def _look(picture: np.ndarray, scene: Scene, place: int, identity: int) -> float:
    people = list(scene.people)
    people[place] = as_identity(people[place], identity)
    drawn = replace(scene, people=tuple(people))
    pixels = np.asarray(draw(drawn))
    owner = person_masks(drawn)[place]
    found = [
        min(1.0, max(0.0, _best(picture, part, part.word, NEAR)[0]) / own)
        for part in _looks_of(people[place], pixels.astype(np.float32), owner)
        if (own := _best(pixels, part, part.word, NEAR)[0]) > _FOUND
    ]
    return float(np.mean(found)) if found else 0.0


def _looks_of(person: Person, pixels: np.ndarray, owner: np.ndarray):
    """An identity's parts: both halves of the hair, the shirt, the legs."""
    assert person.identity is not None
    hair = IDENTITIES[person.identity].hair
    whole = {part.name: part for part in _of(person, pixels, owner)}
    above = np.arange(len(pixels))[:, None] < person.all_joints[Joint.R_HIP][1]
    yield from (part for name, part in whole.items() if part.mask.sum() >= _LEAST)
    for name in hair:
        mask = _flat(pixels, SIGNATURE[name]) & owner & above
        if mask.sum() >= _LEAST:
            yield Part("hair", name, SIGNATURE, mask)


def word_of(picture: np.ndarray, part: Part) -> str:
    """The word of the colour that RGB uint8 `[H,W,3]` shows in the part's shape, near its place."""
    return max(part.palette, key=lambda word: _best(picture, part, word)[0])


def displacement(picture: np.ndarray, part: Part) -> float:
    """How far from its place a part is drawn, in pixels: where its shape, moved, covers most of its colour
    and has least of it round it. FAR where its colour is nowhere near in that shape."""
    found, away = _best(picture, part, part.word)
    return float(FAR) if found < _FOUND else min(float(FAR), away)


def _best(picture: np.ndarray, part: Part, word: str, reach: int = FAR) -> tuple[float, float]:
    """How much more of a colour is in the shape, moved by up to `reach`, than round it, and how far that is."""
    off = ((np.asarray(picture).astype(np.float32) - np.float32(part.palette[word])) ** 2).sum(-1)
    like = np.pad(np.exp(-off / _LIKE**2), FAR)
    mask = np.pad(part.mask, FAR).astype(np.float32)
    ring = _wider(mask) - mask
    found = _moved(like, mask) / mask.sum() - _moved(like, ring) / max(1.0, ring.sum())
    steps = np.arange(-reach, reach + 1)
    near = found[np.ix_(steps, steps)]
    y, x = np.unravel_index(int(near.argmax()), near.shape)
    return float(near[y, x]), float(np.hypot(steps[y], steps[x]))


def _moved(like: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Entry (dy, dx): the sum of `like` under the mask moved by that much, round the edges."""
    spectrum = np.fft.rfft2(like) * np.conj(np.fft.rfft2(mask))
    return np.fft.irfft2(spectrum, s=like.shape)


def _wider(mask: np.ndarray, by: int = 3) -> np.ndarray:
    """The mask grown by so many pixels."""
    for axis in (0, 1):
        mask = np.max([np.roll(mask, step, axis) for step in range(-by, by + 1)], axis=0)
    return mask
