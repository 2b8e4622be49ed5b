"""Pictures that the demo uploads: two skeletons of our own drawing, as PNG, without a package."""

import math
import struct
import subprocess
import zlib
from pathlib import Path

from .cache import ROOT
from .errors import DevError

# OpenPose body, 18 points, as fractions of the picture's height around a person's middle.
BODY = (
    (0.0, 0.18), (0.0, 0.3), (-0.09, 0.3), (-0.13, 0.45), (-0.11, 0.58), (0.09, 0.3),
    (0.13, 0.45), (0.11, 0.58), (-0.06, 0.58), (-0.06, 0.77), (-0.06, 0.95), (0.06, 0.58),
    (0.06, 0.77), (0.06, 0.95), (-0.02, 0.155), (0.02, 0.155), (-0.045, 0.17), (0.045, 0.17),
)  # fmt: skip
BONES = (
    (1, 2), (1, 5), (2, 3), (3, 4), (5, 6), (6, 7), (1, 8), (8, 9), (9, 10), (1, 11), (11, 12),
    (12, 13), (1, 0), (0, 14), (14, 16), (0, 15), (15, 17),
)  # fmt: skip


_PHOTOGRAPHS = """
import importlib.util
found = importlib.util.find_spec("skimage")
print(found.submodule_search_locations[0] if found else "")
"""


def find_picture(name: str, python: Path) -> bytes:
    """The file of that name beside the workflows, else scikit-image's, else two drawn skeletons."""
    asked = subprocess.run(
        [str(python), "-c", _PHOTOGRAPHS], capture_output=True, text=True, check=False
    )
    for folder in (ROOT / "workflows", Path(asked.stdout.strip()) / "data"):
        if (folder / name).is_file():
            return (folder / name).read_bytes()
    return skeletons(768, 512, 2)


def picture_size(data: bytes, python: Path) -> tuple[int, int]:
    """Width and height of a picture file, as the engine's Pillow reads it."""
    script = "import sys; from PIL import Image; print(*Image.open(sys.stdin.buffer).size)"
    command = [str(python), "-c", script]
    asked = subprocess.run(command, input=data, capture_output=True, check=False)
    if asked.returncode != 0:
        raise DevError("the input picture cannot be read; is it a PNG, JPEG or WebP file?")
    width, height = asked.stdout.split()
    return int(width), int(height)


def skeletons(width: int, height: int, people: int) -> bytes:
    """A PNG of `people` standing side by side as OpenPose draws them on black: limbs at 60 % of their
    colour, then a disc for each joint."""
    pixels = bytearray(3 * width * height)
    half = max(2, round(height / 128))
    for person in range(people):
        middle = width * (person + 0.5) / people
        points = [(middle + x * height, y * height) for x, y in BODY]
        for index, (a, b) in enumerate(BONES):
            steps = int(math.dist(points[a], points[b])) + 1
            for step in range(steps + 1):
                place = [
                    p + (q - p) * step / steps for p, q in zip(points[a], points[b], strict=True)
                ]
                draw_disc(
                    pixels, width, height, place, half, bytes(int(v * 0.6) for v in hue(index))
                )
        for index, point in enumerate(points):
            draw_disc(pixels, width, height, point, half, hue(index))
    return png(pixels, width, height)


def draw_disc(pixels: bytearray, width: int, height: int, middle, radius: int, colour) -> None:
    """A filled disc, cut at the picture's edge."""
    x, y = round(middle[0]), round(middle[1])
    for row in range(max(0, y - radius), min(height, y + radius + 1)):
        reach = int(math.sqrt(radius**2 - (row - y) ** 2))
        left, right = max(0, x - reach), min(width, x + reach + 1)
        place = 3 * (row * width + left)
        pixels[place : place + 3 * (right - left)] = colour * max(0, right - left)


def hue(index: int) -> bytes:
    """OpenPose's colour of a joint or limb: 18 steps round the circle, from red."""
    channels = (abs((index / 3 + shift) % 6 - 3) - 1 for shift in (0, 4, 2))
    return bytes(round(255 * min(1.0, max(0.0, channel))) for channel in channels)


def png(pixels: bytearray, width: int, height: int) -> bytes:
    """RGB bytes [height * width * 3] as a PNG file (RFC 2083)."""
    rows = b"".join(
        b"\0" + bytes(pixels[3 * width * row : 3 * width * (row + 1)]) for row in range(height)
    )
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    body = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + body
