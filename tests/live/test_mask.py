"""MaskFromPrompt through POST /prompt, on the small model folders of the running server."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dev.client import RefusedError

SIZE = (320, 256)


def _library():
    """tests/segment/library.py: the masks as the transformers library makes them."""
    file = Path(__file__).parent.parent / "segment" / "library.py"
    spec = importlib.util.spec_from_file_location("segment_library", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def picture() -> Image.Image:
    from skimage import data

    return Image.fromarray(data.astronaut()).resize(SIZE, Image.Resampling.LANCZOS)


def graph(name: str, **inputs) -> dict:
    """Load a picture, make the mask, save it as a picture."""
    mask = {
        "image": ["load", 0],
        "words": "foreground",
        "negative": "",
        "invert": False,
        "dilate": "0",
        "feather": "0",
        "threshold": 0.0,
        "backend": "auto",
        "fill_holes": 0.0,
        "drop_islands": 0.0,
    }
    return {
        "load": {"class_type": "LoadImage", "inputs": {"image": name}},
        "mask": {"class_type": "MaskFromPrompt", "inputs": {**mask, **inputs}},
        "show": {"class_type": "MaskToImage", "inputs": {"mask": ["mask", 0]}},
        "save": {
            "class_type": "SaveImage",
            "inputs": {"images": ["show", 0], "filename_prefix": "live/mask"},
        },
    }


def values(result) -> np.ndarray:
    """The saved mask `[H,W]` in 0..1; the preview of the node comes along as another picture."""
    assert result.status == "success", result.error
    return np.asarray(result.images[-1].convert("L")) / 255


def report(result) -> str:
    return "\n".join(result.outputs["mask"]["text"])


@pytest.fixture(scope="module")
def uploaded(server, picture) -> str:
    return server.upload(picture, "mask_picture.png")


@pytest.fixture(scope="module")
def folders(server) -> Path:
    return server.base / "models" / "segmentation"


def test_clipseg_is_the_librarys(server, uploaded, folders, picture):
    result = server.run(
        graph(uploaded, words='"red scarf"', negative="hat", backend="clipseg", threshold=0.5)
    )
    heats = [
        _library().clipseg(folders / "small_clipseg", picture, phrase)
        for phrase in ("red scarf", "hat")
    ]
    # A likelihood is one half at the threshold, and 0 and 1 from 0.1 away.
    scarf, hat = (np.clip((heat - 0.5) / 0.2 + 0.5, 0, 1) for heat in heats)
    expected = np.clip(scarf - hat, 0, 1)
    # The PNG has 255 steps, and SaveImage cuts down to the next.
    np.testing.assert_allclose(values(result), expected, atol=1.1 / 255)
    assert 0.01 < expected.mean() < 0.99


@pytest.mark.parametrize(
    ("backend", "folder", "word", "wanted"),
    [
        (
            "clothes",
            "small_clothes",
            "clothes",
            {"Upper-clothes", "Skirt", "Pants", "Dress", "Belt", "Scarf"},
        ),
        ("face_parsing", "small_face_parsing", "skin", {"skin", "nose", "l_ear", "r_ear", "neck"}),
    ],
)
def test_parsing_is_the_pipelines(
    server, uploaded, folders, picture, backend, folder, word, wanted
):
    result = server.run(graph(uploaded, words=word, backend=backend))
    expected = _library().labels(folders / folder, picture, wanted)
    found = values(result)
    # What the PNG cannot tell: a value less than a step from one half.
    sure = np.abs(found - 0.5) > 1 / 255
    np.testing.assert_array_equal((found > 0.5)[sure], expected[sure])
    assert sure.mean() > 0.99


def test_grounding_dino_and_sam2_are_the_librarys(server, uploaded, folders, picture):
    result = server.run(graph(uploaded, words="hat", backend="grounded_sam2", threshold=0.86))
    library = _library()
    boxes = library.detect(folders / "small_grounding_dino", picture, "hat", 0.86)
    expected = library.cut(folders / "small_sam2", picture, boxes)
    found = values(result)
    sure = np.abs(found - 0.5) > 1 / 255
    np.testing.assert_array_equal((found > 0.5)[sure], expected[sure])


def test_the_documented_flags_make_the_documented_mask(server, uploaded):
    """Foreground minus clothes, shrunk, inverted: without BiRefNet by GrabCut, and it says so."""
    text = (
        "astronaut in a garden, highly detailed --mask_prompt foreground "
        "--mask_negative clothes --mask_invert --mask_dilate -5"
    )
    result = server.run(graph(uploaded, words=text))
    said = report(result)
    assert said.startswith("White will be repainted: ")
    assert "foreground: GrabCut" in said
    assert "minus clothes: SegFormer clothes" in said
    assert "Warning: GrabCut guesses" in said
    assert "MaskFromPrompt: GrabCut guesses" in result.log
    by_widgets = server.run(
        graph(uploaded, words="foreground", negative="clothes", invert=True, dilate="-5")
    )
    np.testing.assert_array_equal(values(result), values(by_widgets))
    # The wall beside the astronaut's head is repainted.
    assert values(result)[:100, 210:230].min() > 0.9


def test_white_keeps_its_place_in_a_batch(server, picture):
    """The picture and a mirror image in one batch: mirrored masks, but for rounding."""
    wide = Image.new("RGB", SIZE)
    wide.paste(picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT))
    one = server.upload(picture, "mask_one.png")
    two = server.upload(wide, "mask_two.png")
    both = graph(one, words="hair", backend="clothes")
    both["other"] = {"class_type": "LoadImage", "inputs": {"image": two}}
    both["batch"] = {
        "class_type": "ImageBatch",
        "inputs": {"image1": ["load", 0], "image2": ["other", 0]},
    }
    both["mask"]["inputs"]["image"] = ["batch", 0]
    result = server.run(both)
    assert result.status == "success", result.error
    alone = [
        values(server.run(graph(name, words="hair", backend="clothes"))) for name in (one, two)
    ]
    together = [np.asarray(image.convert("L")) / 255 for image in result.images[-2:]]
    for single, batched in zip(alone, together, strict=True):
        np.testing.assert_allclose(single, batched, atol=1.1 / 255)
    assert not np.allclose(*alone)


def test_a_mask_wins_over_words(server, uploaded):
    given = graph(uploaded, words="clothes")
    given["solid"] = {
        "class_type": "SolidMask",
        "inputs": {"value": 1.0, "width": 160, "height": 128},
    }
    given["mask"]["inputs"]["mask"] = ["solid", 0]
    result = server.run(given)
    assert values(result).min() == 1
    assert "both mask and words are given" in report(result)
    assert "the mask is 160x128 and the image 320x256" in report(result)
    assert "the selection is the whole picture (coverage 100.00%)" in report(result)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"dilate": "much"}, 'dilate = "much" is not a distance'),
        ({"feather": "-4"}, 'feather = "-4" is negative'),
        ({"words": "hat --mask_dilat 4"}, "Unknown flag --mask_dilat"),
        ({"backend": "sam9"}, "sam9"),
        ({"threshold": 2.0}, "bigger than max"),
    ],
)
def test_what_cannot_be_read_is_refused_when_queued(server, uploaded, inputs, message):
    with pytest.raises(RefusedError) as refused:
        server.run(graph(uploaded, **inputs))
    assert message in str(refused.value)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"words": " , "}, "words is empty"),
        ({"words": "windows", "backend": "grabcut"}, '"windows": GrabCut does not know it'),
        ({"words": "windows", "backend": "sam3"}, "sam3.1_multiplex_fp16.safetensors in models/"),
    ],
)
def test_what_cannot_be_done_fails_with_the_way_out(server, uploaded, inputs, message):
    result = server.run(graph(uploaded, **inputs))
    assert result.status == "error"
    assert message in result.error


def test_the_node_tells_what_it_is(server):
    info = server.object_info()["MaskFromPrompt"]
    assert "White will be repainted" in info["description"]
    assert info["output"] == ["MASK"]
    assert "White will be repainted" in info["output_tooltips"][0]
    for name, (_, *options) in {**info["input"]["required"], **info["input"]["optional"]}.items():
        assert options[0].get("tooltip"), name
