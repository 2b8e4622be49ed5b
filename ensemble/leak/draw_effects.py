"""The effect matrix as a picture and as JSON."""

import json
import math

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from ..pictures import from_bytes
from .effects import Effects, Interval

CELL, LEFT, TOP = 88, 96, 56


def picture(effects: Effects) -> torch.Tensor:
    """IMAGE `[1,H,W,3]`: a row for each LoRA, a column for each region; white is no effect, black as
    much as in the LoRA's own region or more."""
    side = effects.people * CELL
    image = Image.new("RGB", (LEFT + side + 12, TOP + side + 12), "white")
    pen = ImageDraw.Draw(image)
    large, small = ImageFont.load_default(18), ImageFont.load_default(12)
    pen.text((12, 8), f"LoRA's effect elsewhere: {_text(effects.leak)}", fill="black", font=small)
    for i in range(effects.people):
        middle = i * CELL + CELL / 2
        pen.text((LEFT + middle, TOP - 14), f"region {i + 1}", "black", small, anchor="mm")
        pen.text((LEFT - 10, TOP + middle), f"LoRA {i + 1}", "black", small, anchor="rm")
        for j in range(effects.people):
            _cell(pen, effects.cell(i, j), (LEFT + j * CELL, TOP + i * CELL), (large, small))
    return from_bytes(np.asarray(image))[None]


def _cell(pen, value: Interval, corner: tuple[int, int], fonts: tuple) -> None:
    x, y = corner
    share = 0.0 if math.isnan(value.mean) else min(1.0, value.mean)
    shade, ink = round(255 * (1 - share)), "white" if share > 0.5 else "black"
    pen.rectangle((x, y, x + CELL - 3, y + CELL - 3), fill=(shade,) * 3, outline="grey")
    mean = "none" if math.isnan(value.mean) else f"{value.mean:.2f}"
    pen.text((x + CELL / 2, y + CELL / 2 - 8), mean, ink, fonts[0], anchor="mm")
    if value.half is not None:
        pen.text(
            (x + CELL / 2, y + CELL / 2 + 14), f"± {value.half:.2f}", ink, fonts[1], anchor="mm"
        )


def _text(value: Interval) -> str:
    half = "" if value.half is None else f" ± {value.half:.3f}"
    return f"{value.mean:.3f}{half}"


def as_json(effects: Effects, seeds: list[int], notes: tuple[str, ...] = ()) -> str:
    """mean and half are matrices: row i is the LoRA of person i + 1, column j the region of j + 1;
    null where there is no value."""
    cells = [[effects.cell(i, j) for j in range(effects.people)] for i in range(effects.people)]
    report = {
        "leak": _known(effects.leak.mean), "leak_half": _known(effects.leak.half),
        "mean": [[_known(cell.mean) for cell in row] for row in cells],
        "half": [[_known(cell.half) for cell in row] for row in cells],
        "interval": "95 %, mean ± t(0.975, n - 1) s / sqrt(n) over the seeds",
        "seeds": seeds,
        "without_effect": [who + 1 for who in effects.without_effect],
        "notes": list(notes),
    }  # fmt: skip
    return json.dumps(report, indent=1)


def _known(value: float | None) -> float | None:
    return None if value is None or math.isnan(value) else round(value, 6)
