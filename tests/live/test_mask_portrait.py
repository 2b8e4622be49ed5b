"""The bundled masked_portrait workflow, and what it promises: the kept pixels are the input's."""

import json
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from dev.client import read_graph
from dev.graphs import Wishes, fit

ROOT = Path(__file__).resolve().parent.parent.parent
FEATHER = 8


@pytest.fixture(scope="module")
def astronaut() -> Image.Image:
    from skimage import data

    return Image.fromarray(data.astronaut())


def saved(result) -> Image.Image:
    assert result.status == "success", result.error
    return result.images[-1]


def test_pixels_outside_the_feather_are_the_inputs_bit_for_bit(server, astronaut):
    """The background repainted (here: negated) at half the size, the person put back."""
    name = server.upload(astronaut, "astronaut.png")
    mask = {
        "image": ["load", 0],
        "words": "foreground --mask_invert --mask_dilate 2%",
        "negative": "",
        "invert": False,
        "dilate": "0",
        "feather": "6",
        "threshold": 0.0,
        "backend": "auto",
        "fill_holes": 0.02,
        "drop_islands": 0.02,
    }
    result = server.run(
        {
            "load": {"class_type": "LoadImage", "inputs": {"image": name}},
            "mask": {"class_type": "MaskFromPrompt", "inputs": mask},
            "negated": {"class_type": "ImageInvert", "inputs": {"image": ["load", 0]}},
            "painted": {
                "class_type": "ImageScaleBy",
                "inputs": {"image": ["negated", 0], "upscale_method": "area", "scale_by": 0.5},
            },
            "back": {
                "class_type": "EnsemblePasteBack",
                "inputs": {
                    "image": ["painted", 0],
                    "original": ["load", 0],
                    "mask": ["mask", 0],
                    "feather": FEATHER,
                    "match_colour": 0.0,
                },
            },
            "save": {
                "class_type": "SaveImage",
                "inputs": {"images": ["back", 0], "filename_prefix": "live/back"},
            },
            "seen": {"class_type": "MaskPreview", "inputs": {"mask": ["mask", 0]}},
        }
    )
    pictures = server.client.pictures(result.run)
    shown = {each.node: Image.open(BytesIO(each.data)) for each in pictures}
    picture, original = np.asarray(shown["save"].convert("RGB")), np.asarray(astronaut)
    white = np.asarray(shown["seen"].convert("L")) > 0
    near = ndimage.distance_transform_edt(~white) <= FEATHER * 2**0.5 + 2
    assert 0.2 < near.mean() < 0.8
    np.testing.assert_array_equal(picture[~near], original[~near])
    # Far from the person the negated picture is there, as a picture of half the size can hold it.
    far = ndimage.distance_transform_edt(white) > FEATHER + 6
    assert np.abs(picture[far].astype(int) - (255 - original[far].astype(int))).mean() < 12


def test_the_bundled_workflow_runs_on_small_models(server, astronaut):
    server.upload(astronaut, "astronaut.png")
    known = server.object_info()
    table = json.loads((ROOT / "dev" / "demo.json").read_text(encoding="utf-8"))
    workflow = read_graph(ROOT / "example_workflows" / "api" / "masked_portrait.json")
    graph, _ = fit(workflow, known, table, Wishes(steps=2, size=(192, 192), quick=True))
    graph["mask"]["inputs"]["dilate"] = "-2"
    result = server.run(graph)
    assert saved(result).size == astronaut.size
    report = "\n".join(result.outputs["mask"]["text"])
    assert "foreground: GrabCut" in report
    assert "Warning: GrabCut" in report
    assert not np.array_equal(np.asarray(saved(result).convert("RGB")), np.asarray(astronaut))


@pytest.fixture
def inpainting(server) -> Iterator[tuple[str, str]]:
    """The small checkpoint with the five further input channels of an inpainting model: with weights
    of zero, and with random ones."""
    import torch
    from safetensors.torch import load_file, save_file

    folder = server.base / "models" / "checkpoints"
    weights = load_file(folder / "small_sd15.safetensors")
    first = "model.diffusion_model.input_blocks.0.0.weight"
    four = weights[first]
    generator = torch.Generator().manual_seed(0)
    more = torch.randn((four.shape[0], 5, 3, 3), generator=generator) * four.float().std()
    names = "small_inpainting_zero.safetensors", "small_inpainting.safetensors"
    for name, factor in zip(names, (0, 1), strict=True):
        weights[first] = torch.cat([four, (more * factor).to(four.dtype)], dim=1)
        save_file(weights, folder / name)
    yield names
    for name in names:
        (folder / name).unlink()


def test_an_inpainting_checkpoint_sees_what_is_kept(server, astronaut, inpainting):
    server.upload(astronaut, "astronaut.png")
    table = json.loads((ROOT / "dev" / "demo.json").read_text(encoding="utf-8"))
    workflow = read_graph(ROOT / "example_workflows" / "api" / "masked_portrait.json")
    wishes = Wishes(steps=2, size=(128, 128), quick=True)
    graph, _ = fit(workflow, server.object_info(), table, wishes)
    graph["mask"]["inputs"].update(dilate="-2", feather="4")
    for stage in ("super_resolution", "hires_fix"):
        graph[f"finish:{stage}"]["inputs"]["switch"] = False
    shown = []
    for name in ("small_sd15.safetensors", *inpainting):
        graph["checkpoint"]["inputs"]["ckpt_name"] = name
        shown.append(np.asarray(saved(server.run(graph)).convert("RGB")))
    normal, zero, inpainted = shown
    assert np.array_equal(normal, zero)
    assert not np.array_equal(normal, inpainted)


def test_the_workflow_asks_for_what_is_documented():
    graph = read_graph(ROOT / "example_workflows" / "api" / "masked_portrait.json")
    mask = graph["mask"]["inputs"]
    assert (mask["words"], mask["negative"]) == ("foreground", "clothes")
    assert (mask["invert"], mask["dilate"]) == (True, "-20")
    assert graph["paint"]["inputs"]["denoise"] == 0.8
    on = {key for key, node in graph.items() if node["inputs"].get("switch") is True}
    assert on == {"finish:super_resolution", "finish:hires_fix", "finish:paste_back"}
    assert graph["finish:hires"]["inputs"]["denoise"] == 0.2
    # One pass, without the mask: the whole frame is gone over.
    assert graph["finish:hires"]["inputs"]["model"] == ["checkpoint", 0]
    assert graph["finish:hires"]["inputs"]["positive"] == ["posed", 0]
    assert graph["paint"]["inputs"]["model"] == ["soft_edges", 0]
    assert graph["soft_edges"]["class_type"] == "DifferentialDiffusion"
    assert mask["image"] == graph["masked"]["inputs"]["pixels"] == ["working_size", 0]
    assert graph["finish:paste"]["inputs"]["original"] == ["photo", 0]
    assert graph["finish:paste"]["inputs"]["mask"] == ["mask", 0]
    assert graph["save"]["inputs"]["images"] == ["finish:film_grain", 0]
