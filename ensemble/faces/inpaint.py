"""FaceInpaint: find the faces, match them to people, redraw them, put them back."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch

from ..pictures import rgb
from ..regional.people import People
from ..regions.bounding_box import BoundingBox
from .boxes import Face
from .choices import Source, Unmatched
from .composite import put_back
from .crop import Oval, mask, resized, square
from .detect import Sources, find_faces
from .draw import numbered
from .match import assign
from .noise import COUPLED, sampler_for
from .painters import FacePainter, Target
from .redraw import RedrawSettings, crop_size, redraw

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class FaceSettings:
    """Which faces are redrawn, and how."""

    redraw: RedrawSettings = field(default_factory=RedrawSettings)
    source: Source = Source.AUTO
    unmatched: Unmatched = Unmatched.COMMON
    # Per picture; of more the largest.
    max_faces: int = 32


@dataclass(frozen=True)
class Seen:
    """The faces of one picture, and whose they are."""

    faces: tuple[Face, ...]
    # The person's index, None where a face is nobody's.
    owners: tuple[int | None, ...]
    redrawn: tuple[bool, ...]

    @property
    def labels(self) -> list[str]:
        return [
            "left alone" if not drawn else f"person {owner + 1}" if owner is not None else "face"
            for owner, drawn in zip(self.owners, self.redrawn, strict=True)
        ]

    def boxes(self) -> list[dict]:
        return [
            BoundingBox(face.box, label, face.score).as_core()
            for face, label in zip(self.faces, self.labels, strict=True)
        ]


@dataclass(frozen=True)
class Redrawn:
    """Pictures with redrawn faces."""

    image: torch.Tensor
    # `[B,H,W]`, 0..1: how much of each pixel is new.
    mask: torch.Tensor
    # Of each picture.
    seen: list[Seen]

    @property
    def boxes(self) -> list[list[dict]]:
        """Core's BOUNDING_BOX, labelled with whose face it is."""
        return [picture.boxes() for picture in self.seen]


def face_inpaint(
    image: torch.Tensor, vae, painter: FacePainter, sources: Sources, settings: FaceSettings
) -> Redrawn:
    """IMAGE `[B,H,W,C]`: every face redrawn as its person, all else bit for bit as it was."""
    check(image, settings)
    found = find_faces(image, sources, settings.source)
    return inpaint_faces(image, found, sources.people, vae, painter, settings)


def inpaint_faces(
    image: torch.Tensor,
    found: Sequence[Sequence[Face]],
    people: People | None,
    vae,
    painter: FacePainter,
    settings: FaceSettings,
) -> Redrawn:
    """The same for faces that are known, those of each picture."""
    height, width = image.shape[1:3]
    seen = [look(faces, people, settings, width, height) for faces in found]
    targets = [
        Target(i, face, square(face.box, width, height, settings.redraw.context), who)
        for i, picture in enumerate(seen)
        for face, who, drawn in zip(picture.faces, picture.owners, picture.redrawn, strict=True)
        if drawn
    ]
    if not targets:
        log.warning("FaceInpaint: no face to redraw, so the picture stays as it is.")
    result, changed = image.clone(), torch.zeros(image.shape[:3])
    if targets and settings.redraw.sampling.denoise > 0:
        _redraw_into(result, changed, image, targets, vae, painter, settings.redraw)
    return Redrawn(result, changed, seen)


def numbered_faces(image: torch.Tensor, seen: Sequence[Seen]) -> torch.Tensor:
    """IMAGE `[B,H,W,C]` -> `[B,H,W,3]` with numbered boxes, left to right."""
    drawings = [
        numbered(picture, [f.box for f in s.faces], s.labels, [o is not None for o in s.owners])
        for picture, s in zip(image, seen, strict=True)
    ]
    return torch.stack(drawings)


def check(image: torch.Tensor, settings: FaceSettings) -> None:
    """ValueError for what would fail only after the faces were found."""
    if image.shape[0] == 0:
        raise ValueError("image holds no picture; link at least one.")
    sampler = settings.redraw.sampling.sampler
    if sampler in COUPLED:
        sampler_for(sampler, (), torch.zeros(0), torch.zeros(0))


def look(
    faces: Sequence[Face], people: People | None, settings: FaceSettings, width: int, height: int
) -> Seen:
    """The owner of each face, and which faces are redrawn: at most max_faces, the largest."""
    owners: list[int | None] = [None] * len(faces)
    if people is not None and people.people:
        owners = assign(faces, people, width, height)
    wanted = [
        i for i, owner in enumerate(owners)
        if owner is not None or people is None or settings.unmatched is Unmatched.COMMON
    ]  # fmt: skip
    if len(wanted) > settings.max_faces:
        log.warning(
            "FaceInpaint: %d faces, of which the %d largest are redrawn. Raise max_faces for more.",
            len(wanted),
            settings.max_faces,
        )
        # Somebody's face comes before a larger one in the crowd.
        wanted.sort(key=lambda i: (owners[i] is None, -faces[i].box.side))
        wanted = wanted[: settings.max_faces]
    drawn = tuple(i in wanted for i in range(len(faces)))
    return Seen(tuple(faces), tuple(owners), drawn)


def _redraw_into(
    result: torch.Tensor,
    changed: torch.Tensor,
    image: torch.Tensor,
    targets: Sequence[Target],
    vae,
    painter: FacePainter,
    settings: RedrawSettings,
) -> None:
    """Redraw the targets and blend them into `result`, noting in `changed` how much."""
    size = crop_size(painter.model, settings.size, vae.spacial_compression_encode())
    pixels = torch.stack([resized(rgb(t.crop.of(image[t.picture])), size) for t in targets])
    # The model may change a little more than is taken from it, so that the blend lies inside.
    beyond = settings.oval.feather / 2
    masks = torch.stack([mask(t.face.box, t.crop, settings.oval, size, beyond) for t in targets])
    new = redraw(pixels, masks, targets, vae, painter, settings)
    kept = [_kept(image.shape[1:3], targets, i, settings.oval) for i in range(image.shape[0])]
    for target, drawn in zip(targets, new, strict=True):
        crop = target.crop
        weight = mask(target.face.box, crop, settings.oval, crop.side)
        put_back(
            crop.of(result[target.picture]), resized(drawn, crop.side), weight,
            crop.of(kept[target.picture]),
        )  # fmt: skip
        area = crop.of(changed[target.picture])
        area.copy_(1 - (1 - area) * (1 - weight))


def _kept(
    shape: Sequence[int], targets: Sequence[Target], picture: int, oval: Oval
) -> torch.Tensor:
    """`[H,W]`: 1 where no face of the picture was redrawn at all, where colours can be compared."""
    kept = torch.ones(tuple(shape))
    wide = replace(oval, grow=oval.grow + oval.feather / 2)
    for target in targets:
        if target.picture == picture:
            area = target.crop.of(kept)
            area[mask(target.face.box, target.crop, wide, target.crop.side) > 0] = 0.0
    return kept
