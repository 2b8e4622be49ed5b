"""The picture with numbered boxes: which face was taken for whom."""

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from ..pictures import from_bytes, rgb, to_bytes
from .boxes import Face

_MATCHED, _NOBODY = (64, 220, 96), (255, 176, 32)


def numbered(
    picture: torch.Tensor,
    *,
    faces: Sequence[Face],
    labels: Sequence[str],
    owners: Sequence[int | None],
) -> torch.Tensor:
    """`[H,W,C]` -> `[H,W,3]` with a box and a label for each face; green where it is somebody's."""
    drawn = Image.fromarray(to_bytes(rgb(picture)).numpy())
    pen = ImageDraw.Draw(drawn)
    line = max(1, round(min(drawn.size) / 300))
    marks = zip(faces, labels, owners, strict=True)
    for number, (found, label, owner) in enumerate(marks, 1):
        face = found.box
        ink = _NOBODY if owner is None else _MATCHED
        pen.rectangle((face.left, face.top, face.right, face.bottom), outline=ink, width=line)
        font = ImageFont.load_default(max(10.0, min(face.side / 5, min(drawn.size) / 16)))
        text = f"{number} {label}"
        # A long label begins further left, so that it ends in the picture.
        room = drawn.width - 5 - pen.textlength(text, font)
        start = max(0, min(face.left, room))
        left, top, right, bottom = pen.textbbox((start, face.top), text, font=font)
        up = min(bottom - top + 4, top)
        pen.rectangle((left, top - up, right + 4, bottom - up + 4), fill=ink)
        pen.text((start + 2, face.top - up + 1), text, fill=(0, 0, 0), font=font)
    return from_bytes(np.asarray(drawn))
