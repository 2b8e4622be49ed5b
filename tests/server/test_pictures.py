"""Pictures in: decoded, limited, written anew."""

import base64
import contextlib
import io
import struct
import tracemalloc
import zlib

import numpy as np
import pytest
from ensemble_portraits.ensemble.pictures import eight_bit
from ensemble_portraits.ensemble.server.api.pictures import (
    MOST_PIXELS,
    PictureError,
    read_data_url,
    read_picture,
    take_data_urls,
    write_uploads,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo


def encoded(picture, kind="PNG", **options):
    written = io.BytesIO()
    picture.save(written, format=kind, **options)
    return written.getvalue()


def data_url(data, kind="png"):
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def noise(mode="RGB"):
    values = np.random.default_rng(3).integers(0, 256, (20, 30, 4), dtype=np.uint8)
    return Image.fromarray(values, "RGBA").convert(mode)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L"])
@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_pixels_stay_and_nothing_else(mode, kind):
    text = PngInfo()
    text.add_text("secret", "where I live")
    exif = Image.Exif()
    exif[0x010E] = "where I live"
    options = {"pnginfo": text} if kind == "PNG" else {"lossless": True, "exact": True}
    options |= {"exif": exif, "icc_profile": b"where I live"}
    upload = read_data_url(data_url(encoded(noise(mode), kind, **options), kind.lower()))
    found = Image.open(io.BytesIO(upload.png))
    assert found.format == "PNG"
    assert not found.info
    assert found.mode == ("RGBA" if mode == "RGBA" else "RGB")
    np.testing.assert_array_equal(np.asarray(found), np.asarray(noise(mode).convert(found.mode)))


def test_a_turned_photo_stands_upright():
    exif = Image.Exif()
    exif[0x0112] = 6
    upload = read_picture(encoded(noise(), "JPEG", exif=exif))
    assert Image.open(io.BytesIO(upload.png)).size == (20, 30)


def test_the_same_pixels_have_the_same_name():
    first = read_picture(encoded(noise()))
    assert read_picture(encoded(noise(), "WEBP", lossless=True)).name == first.name
    assert read_picture(encoded(noise().rotate(90))).name != first.name


def bomb():
    """A PNG of a few bytes that says it has 100,000 x 100,000 pixels."""
    data = encoded(Image.new("L", (1, 1)))
    header = struct.pack(">II", 100_000, 100_000) + data[24:29]
    check = struct.pack(">I", zlib.crc32(b"IHDR" + header))
    return data[:16] + header + check + data[33:]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"GIF89a" + bytes(100),
        encoded(noise())[:-40],
        encoded(noise(), "GIF"),
        encoded(noise(), "TIFF"),
        encoded(noise(), "BMP"),
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
        bomb(),
    ],
    ids=["empty", "stub", "cut", "gif", "tiff", "bmp", "svg", "eps", "bomb"],
)
def test_everything_else_is_refused(data):
    with pytest.raises(PictureError):
        read_picture(data)


def test_a_picture_has_a_limit_of_pixels():
    wide = Image.new("1", (MOST_PIXELS // 1000 + 1, 1000))
    with pytest.raises(PictureError, match="more than"):
        read_picture(encoded(wide))


@pytest.mark.parametrize("broken", ["data:image/png;base64,!!!!", "data:image/png;base64,abc"])
def test_what_is_not_base64_is_refused(broken):
    with pytest.raises(PictureError, match="base64"):
        read_data_url(broken)


@settings(max_examples=50)
@given(st.binary(max_size=300), st.integers(0, 60))
def test_no_bytes_crash_the_reader(data, offset):
    whole = bytearray(encoded(noise()))
    whole[offset : offset + len(data)] = data
    for each in (data, bytes(whole)):
        with contextlib.suppress(PictureError):
            assert read_picture(each).png


@pytest.mark.parametrize("slash", ["/", "\\/"])
def test_data_urls_in_a_text_become_names(slash):
    url = data_url(encoded(noise())).replace("/", slash)
    text, uploads = take_data_urls(f'{{"init_image": "{url}", "mask_image": "{url}"}}')
    name = uploads[0].name
    assert text == f'{{"init_image": "{name}", "mask_image": "{name}"}}'


def test_uploads_are_written_once(tmp_path):
    upload = read_picture(encoded(noise()))
    write_uploads((upload, upload), tmp_path)
    target = tmp_path / upload.name
    before = target.stat().st_mtime_ns
    write_uploads((upload,), tmp_path)
    assert target.stat().st_mtime_ns == before
    assert [path.name for path in target.parent.iterdir()] == [target.name]


def png16(levels: np.ndarray) -> bytes:
    """A 16-bit PNG as the format's specification has it; Pillow writes grey ones only."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + check

    height, width = levels.shape[:2]
    colour = {2: 0, 3: 2}[levels.ndim]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in levels)
    head = struct.pack(">IIBBBBB", width, height, 16, colour, 0, 0, 0)
    parts = chunk(b"IHDR", head), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


RAMP = np.linspace(0, 1, 1024).reshape(4, 256)


@pytest.mark.parametrize("coloured", [False, True])
def test_a_ramp_of_16_bits_keeps_its_levels(coloured):
    levels = np.round(RAMP * 65535)
    data = png16(np.stack([levels] * 3, -1) if coloured else levels)
    found = np.asarray(Image.open(io.BytesIO(read_picture(data).png)))
    assert found.shape == (4, 256, 3)
    # Of colours Pillow keeps the high byte.
    assert np.abs(found - RAMP[..., None] * 255).max() <= (1 if coloured else 0.5)


@pytest.mark.parametrize(
    ("levels", "dtype"),
    [
        (255, np.uint8),
        (65535, np.uint16),
        (2**31 - 1, np.int32),
        (1, np.float32),
        (255, np.float32),
    ],
)
def test_a_ramp_of_any_depth_has_8_bits_in_the_end(levels, dtype):
    whole = dtype is not np.float32
    ramp = RAMP * levels
    picture = Image.fromarray((np.round(ramp) if whole else ramp).astype(dtype))
    found = np.asarray(eight_bit(picture), dtype=float)
    most = 2**32 - 1 if dtype is np.int32 else levels
    assert np.abs(found - ramp / most * 255).max() <= 0.5001


def test_a_large_picture_of_16_bits_takes_little_more_than_its_pixels():
    picture = Image.new("I;16", (4000, 4000), 40_000)
    tracemalloc.start()
    found = eight_bit(picture)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.getextrema() == (156, 156)
    assert peak < 5 * 4000 * 4000


def test_the_transparent_level_of_16_bits_is_kept():
    levels = np.array([[0, 1000, 1001, 65535]])
    ihdr, rest = png16(levels).split(b"IHDR", 1)
    trns = b"tRNS" + struct.pack(">H", 1000)
    chunk = struct.pack(">I", 2) + trns + struct.pack(">I", zlib.crc32(trns))
    data = ihdr + b"IHDR" + rest[:17] + chunk + rest[17:]
    found = Image.open(io.BytesIO(read_picture(data).png))
    assert found.mode == "RGBA"
    assert np.asarray(found)[0, :, 3].tolist() == [255, 0, 255, 255]


def test_a_picture_of_floats_in_the_input_folder_is_copied_for_load_image(home):
    from ensemble_portraits.ensemble.server.library import this_machine

    Image.fromarray(RAMP.astype(np.float32)).save(home / "input" / "floats.tiff")
    Image.fromarray((RAMP * 65535).astype(np.uint16)).save(home / "input" / "deep.png")
    readable = this_machine().readable
    found = np.asarray(Image.open(io.BytesIO(readable("floats.tiff"))), dtype=float)
    assert np.abs(found - RAMP * 255).max() <= 0.5001
    assert readable("deep.png") is None  # Load Image reads it right
    outside = home / "outside.tiff"
    Image.fromarray(RAMP.astype(np.float32)).save(outside)
    (home / "input" / "linked.tiff").symlink_to(outside)
    assert readable("linked.tiff") is None
