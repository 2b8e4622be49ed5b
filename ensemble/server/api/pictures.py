"""Pictures on their way in (data URLs, decoded and written anew) and out (files of one job)."""

import base64
import binascii
import hashlib
import os
import re
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from PIL import Image, ImageOps

from ...pictures import eight_bit

MOST_PIXELS = 64_000_000
FORMATS = ("PNG", "JPEG", "WEBP")
# PHP writes the slash of "image/png" and of base64 as "\/".
DATA_URL = re.compile(r"data:image\\?/[a-z+.-]{1,20};base64,[A-Za-z0-9+/=\\]*", re.IGNORECASE)
_FOLDER = "ensemble"


class PictureError(ValueError):
    """A picture that cannot be taken."""


@dataclass(frozen=True)
class Upload:
    """A picture for the input folder: its name there, which follows from its pixels, and a PNG."""

    name: str
    png: bytes


def read_data_url(url: str) -> Upload:
    """Raises PictureError."""
    return read_base64(url.replace("\\", "").partition(",")[2])


def read_base64(encoded: str) -> Upload:
    """Raises PictureError. The line breaks that some encoders put in are left out."""
    try:
        data = base64.b64decode("".join(encoded.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise PictureError("is not base64") from error
    return read_picture(data)


def read_picture(data: bytes) -> Upload:
    """A PNG, JPEG or WebP file as a PNG of our own making: pixels and alpha, upright, nothing else of
    the file. Raises PictureError.
    """
    try:
        picture = Image.open(BytesIO(data), formats=FORMATS)
        if picture.width * picture.height > MOST_PIXELS:  # known before anything is decoded
            raise PictureError(f"has more than {MOST_PIXELS:,} pixels")
        clean = eight_bit(ImageOps.exif_transpose(picture))
        has_alpha = "A" in clean.getbands() or "transparency" in clean.info
        clean = clean.convert("RGBA" if has_alpha else "RGB")
    except PictureError:
        raise
    # Pillow's decoders raise what they like on broken files: struct.error, IndexError, SyntaxError.
    except Exception as error:
        raise PictureError("is not a PNG, JPEG or WebP picture that can be read") from error
    clean.info = {}
    written = BytesIO()
    clean.save(written, format="PNG", compress_level=1)
    png = written.getvalue()
    return Upload(f"{_FOLDER}/{hashlib.sha256(png).hexdigest()[:32]}.png", png)


def take_data_urls(text: str) -> tuple[str, tuple[Upload, ...]]:
    """The text with each data URL replaced by its picture's name, and the pictures."""
    uploads: list[Upload] = []

    def name(found: re.Match[str]) -> str:
        uploads.append(read_data_url(found[0]))
        return uploads[-1].name

    return DATA_URL.sub(name, text), tuple(uploads)


def write_uploads(uploads: tuple[Upload, ...], folder: Path) -> None:
    """Put pictures into the input folder. One of the same name has the same pixels: it stays."""
    for upload in uploads:
        target = folder / upload.name
        if target.is_file() and target.stat().st_size == len(upload.png):
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(f".{target.name}.{os.getpid()}.part")
        part.write_bytes(upload.png)
        part.replace(target)


def find_pictures(output: Path, prefix: str) -> tuple[dict[str, str], ...]:
    """ComfyUI's records of the whole pictures that a job saved under `prefix`, in order."""
    folder = output / prefix
    found = []
    for path in sorted(folder.parent.glob(f"{folder.name}_*.png")):
        if _is_whole(path):
            subfolder = path.parent.relative_to(output).as_posix()
            found.append({"filename": path.name, "subfolder": subfolder, "type": "output"})
    return tuple(found)


def delete_pictures(output: Path, prefix: str) -> None:
    """Remove what a job has saved; its prefix is its own, nobody can guess it."""
    folder = output / prefix
    for path in folder.parent.glob(f"{folder.name}_*.png"):
        path.unlink(missing_ok=True)


def _is_whole(path: Path) -> bool:
    try:
        with Image.open(path, formats=("PNG",)) as picture:
            picture.load()
    except (OSError, SyntaxError, ValueError):
        return False  # the process ended while it wrote
    return True
