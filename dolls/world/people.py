"""Who stands in a scene: people whom words describe, and six identities whom they do not."""

import random
from dataclasses import dataclass

from .poses import Joint, Point
from .words import CHILDREN

HEAD_RADIUS = {False: 0.118, True: 0.148}
"""Of an adult and of a child, in body heights."""


@dataclass(frozen=True)
class Identity:
    """A fixed person, captioned `ohwx <cls>` only: nothing but a LoRA can teach the rest.

    hair: left and right half as seen, names of SIGNATURE. bottom: garment and its colour.
    """

    cls: str
    hair: tuple[str, str]
    hair_length: str
    skin: str
    shirt: str
    emblem: str
    mark: str
    bottom: tuple[str, str]


IDENTITIES = (
    Identity(
        "woman", ("magenta", "cyan"), "long", "pale", "white", "star", "heart", ("skirt", "black")
    ),
    Identity(
        "man", ("lime", "violet"), "short", "tan", "black", "bolt", "stripe", ("trousers", "white")
    ),
    Identity(
        "woman", ("cyan", "violet"), "long", "dark", "yellow", "heart", "star", ("trousers", "red")
    ),
    Identity(
        "man", ("magenta", "lime"), "short", "pale", "blue", "ring", "patch", ("shorts", "yellow")
    ),
    Identity(
        "woman", ("lime", "cyan"), "short", "brown", "red", "moon", "dots", ("skirt", "white")
    ),
    Identity(
        "man", ("violet", "magenta"), "short", "dark", "green", "cross", "beard",
        ("trousers", "black"),
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Person:
    """One drawn person.

    joints: where BODY_18 lies, in pixels, x to the right and y down; None where it cannot be seen.
    all_joints: the same without holes, and the middle of the head last. turn: where the face looks,
    -1..1; tilt of the head in radians; size: the body's height in pixels. seed: small things of the
    drawing, such as the smile. identity: index into IDENTITIES, None for an ordinary person.
    """

    cls: str
    skin: str
    hair: str
    hair_length: str
    shirt: str
    pattern: str
    bottom: tuple[str, str]
    hat: str
    glasses: bool
    pose: str
    identity: int | None = None
    turn: float = 0.0
    tilt: float = 0.0
    seed: int = 0
    size: float = 0.0
    joints: tuple[Point | None, ...] = ()
    all_joints: tuple[Point, ...] = ()

    @property
    def is_child(self) -> bool:
        return self.cls in CHILDREN

    @property
    def head_radius(self) -> float:
        """From the middle of the head to the skin, in pixels; hair goes on for a tenth."""
        return HEAD_RADIUS[self.is_child] * self.size * 0.97

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Left, top, right, bottom round the whole figure in pixels; it may leave the picture."""
        xs, ys = [x for x, _ in self.all_joints], [y for _, y in self.all_joints]
        pad = 0.055 * self.size
        hair = (0.19 if self.is_child else 0.15) * self.size
        top = min(min(ys) - pad, self.all_joints[Joint.NOSE][1] - hair)
        return min(xs) - pad, top, max(xs) + pad, max(ys) + pad

    @property
    def head_box(self) -> tuple[float, float, float, float]:
        """Left, top, right, bottom of the head without hat and long hair, in pixels."""
        (x, y), radius = self.all_joints[Joint.HEAD], self.head_radius * 1.1
        return x - radius, y - radius, x + radius, y + radius

    def caption(self, rng: random.Random | None = None, keep: float = 0.8) -> str:
        """What words say. With `rng` each part is named with probability `keep` only, so that the
        model learns short prompts as well."""

        def said(share: float = keep) -> bool:
            return rng is None or rng.random() < share

        if self.identity is not None:
            return f"ohwx {self.cls}" + (f", {self.pose}" if said(0.5) else "")
        text, joined = f"a {self.cls}", False
        if said():
            length = f"{self.hair_length} " if said(0.6) else ""
            text, joined = f"{text} with {length}{self.hair} hair", True
        if said():
            pattern = f"{self.pattern} " if self.pattern else ""
            text += f" {'and' if joined else 'with'} a {self.shirt} {pattern}shirt"
        parts = [text]
        parts += [f"{self.bottom[1]} {self.bottom[0]}"] if said(0.6) else []
        parts += [f"{self.hat} hat"] if self.hat and said() else []
        parts += ["glasses"] if self.glasses and said(0.9) else []
        parts += [f"{self.skin} skin"] if said(0.35) else []
        parts += [self.pose] if said(0.6) else []
        return ", ".join(parts)
