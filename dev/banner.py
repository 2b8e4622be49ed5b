"""`python -m dev.banner` in an engine's Python: docs/banner.png, from the pack's own drawing of people and
their regions. The registry shows it at 21:9."""

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ensemble.pose.default import Framing, default_pose
from ensemble.pose.draw import draw
from ensemble.regions.people import Shape, body_regions

from .cache import ROOT

FILE = ROOT / "docs" / "banner.png"
WIDTH, HEIGHT, PEOPLE = 1260, 540, 4
GROUND = np.array((27, 30, 46))
TINTS = np.array(((241, 132, 86), (247, 214, 109), (80, 178, 192), (176, 108, 152)))
NAME, LINE = (
    "Ensemble Portraits",
    "several people, one picture: each their own words, LoRA, pose, face",
)


def picture() -> Image.Image:
    pose, _ = default_pose(PEOPLE, WIDTH, HEIGHT, Framing.KNEES)
    bodies = np.stack([person.body for person in pose.people])
    regions = body_regions(bodies, WIDTH, HEIGHT, Shape.CAPSULE).numpy()
    shares = np.tensordot(regions, TINTS - GROUND, axes=(0, 0)) * 0.75
    lines = draw(pose)
    pixels = np.where(lines.max(axis=-1, keepdims=True) > 40, lines, GROUND + shares)
    image = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
    pen = ImageDraw.Draw(image, "RGBA")
    pen.rectangle((0, HEIGHT - 132, WIDTH, HEIGHT), fill=(*GROUND, 215))
    for text, size, y in ((NAME, 54, HEIGHT - 84), (LINE, 25, HEIGHT - 34)):
        font = ImageFont.load_default(size)
        pen.text((WIDTH / 2, y), text, (255, 255, 255), font, anchor="mm")
    return image


if __name__ == "__main__":
    picture().save(FILE, optimize=True)
    print(FILE)
