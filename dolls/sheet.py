"""A contact sheet of the world: `python -m dolls.sheet docs/dolls.jpg`."""

import argparse
import random
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from .world import IDENTITIES, Scene, draw, make_scene, person_masks, skeleton

_GAP = 8
_PAPER = (250, 250, 250)
_TITLE = "Drawn by a program (dolls/world): the pictures a model can be taught with. No model drew these."
_MASKS = np.array([(235, 92, 72), (66, 150, 214), (120, 180, 80)], np.uint8)


def contact_sheet(seed: int) -> Image.Image:
    """Single people; two and three; the six identities; one scene with its pose map and masks."""
    rng = random.Random(seed)
    group = make_scene(rng, 3, "landscape", (0, None, 3))
    rows = [
        [draw(make_scene(rng, 1, "portrait")) for _ in range(6)],
        [draw(make_scene(rng, count, "landscape")) for count in (2, 3, 2, 3)],
        [
            draw(make_scene(rng, shape="portrait", identities=[who]))
            for who in range(len(IDENTITIES))
        ],
        [draw(group), skeleton(group), _coloured_masks(group)],
    ]
    width = max(sum(picture.width + _GAP for picture in row) for row in rows) + _GAP
    height = sum(row[0].height + _GAP for row in rows) + 40
    sheet = Image.new("RGB", (width, height), _PAPER)
    font = ImageFont.load_default(18)
    ImageDraw.Draw(sheet).text((_GAP, 8), _TITLE, (40, 40, 40), font)
    y = 36
    for row in rows:
        x = _GAP
        for picture in row:
            sheet.paste(picture, (x, y))
            x += picture.width + _GAP
        y += row[0].height + _GAP
    return sheet


def _coloured_masks(scene: Scene) -> Image.Image:
    picture = np.full((scene.size[1], scene.size[0], 3), _PAPER, np.uint8)
    for mask, colour in zip(person_masks(scene), _MASKS, strict=False):
        picture[mask] = colour
    return Image.fromarray(picture)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m dolls.sheet", description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args(argv)
    sheet = contact_sheet(arguments.seed)
    # Small enough to be committed and looked at on a page.
    sheet = sheet.resize((sheet.width * 3 // 4, sheet.height * 3 // 4), Image.Resampling.LANCZOS)
    sheet.save(arguments.file, quality=80, optimize=True)


if __name__ == "__main__":
    main()
