"""Square crops round faces, and the soft oval that says where a face is redrawn."""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from ..regions.rect import Rect, Unit


@dataclass(frozen=True)
class Oval:
    """The ellipse in a face's box, as a mask."""

    # How far beyond the ellipse it reaches, in sides of the face.
    grow: float = 0.15
    # Width of the soft edge, in sides of the face.
    feather: float = 0.15


@dataclass(frozen=True)
class Crop:
    """A square part of a picture."""

    # In whole pixels, wholly inside the picture.
    rect: Rect
    # Pixels of the picture.
    width: int
    height: int

    @property
    def side(self) -> int:
        return int(self.rect.side)

    @property
    def box(self) -> Rect:
        """In fractions of the picture."""
        return self.rect.as_fractions(width=self.width, height=self.height)

    def of(self, picture: torch.Tensor) -> torch.Tensor:
        """This part of `[H,W,...]`, a view."""
        return picture[self.rect.slices(width=self.width, height=self.height)]


def square(face: Rect, width: int, height: int, context: float) -> Crop:
    """`context` times the face's side, round its centre, shifted inside the picture, never padded;
    at most the picture's shorter side."""
    side = min(max(1, round(face.side * context)), width, height)
    x, y = face.centre
    left = min(max(x - side / 2, 0), width - side)
    top = min(max(y - side / 2, 0), height - side)
    rect = Rect.sized(left, top, side, side, Unit.PIXELS)
    return Crop(rect.rounded(width=width, height=height), width, height)


def mask(face: Rect, crop: Crop, oval: Oval, size: int, grow: float = 0.0) -> torch.Tensor:
    """The oval `[size,size]` over the crop, 0..1: a raised cosine across its edge, exactly 0 beyond.

    `grow` more than the oval's own, in sides of the face. It ends before borders of the crop that
    lie inside the picture, where a face fills the crop.
    """
    place = (torch.arange(size, dtype=torch.float64) + 0.5) * (crop.side / size)
    x, y = place + crop.rect.left, place + crop.rect.top
    feather = max(oval.feather * face.side, 1.0)
    beyond = (oval.grow + grow) * face.side
    wide, tall = face.width / 2 + beyond, face.height / 2 + beyond
    cx, cy = face.centre
    reach = torch.hypot(((x - cx) / wide)[None, :], ((y - cy) / tall)[:, None])
    inside = (1.0 - reach) * min(wide, tall) / feather + 0.5
    edges = _inside(x, crop.rect.left, crop.side, crop.width)[None, :]
    edges = torch.minimum(edges, _inside(y, crop.rect.top, crop.side, crop.height)[:, None])
    return _raised_cosine(torch.minimum(inside, edges / feather)).float()


def _inside(place: torch.Tensor, start: float, side: int, length: int) -> torch.Tensor:
    """Pixels to the nearest border of the crop that is not the picture's."""
    far = torch.full_like(place, math.inf)
    before = place - start - 0.5 if start > 0 else far
    after = start + side - place - 0.5 if start + side < length else far
    return torch.minimum(before, after)


def _raised_cosine(t: torch.Tensor) -> torch.Tensor:
    t = t.clamp(0.0, 1.0)
    return torch.where(t <= 0.0, 0.0, 0.5 - 0.5 * torch.cos(math.pi * t))


def resized(picture: torch.Tensor, size: int) -> torch.Tensor:
    """A square `[S,S,C]` at `size`, bicubic, antialiased where it gets smaller."""
    if picture.shape[0] == size:
        return picture.float()
    planes = picture.float().movedim(-1, 0)[None]
    planes = F.interpolate(planes, (size, size), mode="bicubic", antialias=True)
    return planes[0].movedim(0, -1).clamp(0.0, 1.0)
