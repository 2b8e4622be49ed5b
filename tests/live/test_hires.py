"""EnsembleHires through POST /prompt, against the same steps of core's nodes."""

import numpy as np
import pytest
from PIL import Image


@pytest.fixture(scope="module")
def photo(server) -> str:
    from skimage import data

    picture = Image.fromarray(data.astronaut()).resize((128, 96), Image.Resampling.LANCZOS)
    return server.upload(picture, "hires.png")


def node(kind: str, **inputs) -> dict:
    return {"class_type": kind, "inputs": inputs}


def start(photo: str) -> dict:
    return {
        "load": node("LoadImage", image=photo),
        "checkpoint": node("CheckpointLoaderSimple", ckpt_name="small_sd15.safetensors"),
        "positive": node("CLIPTextEncode", text="a woman", clip=["checkpoint", 1]),
        "negative": node("CLIPTextEncode", text="blurry", clip=["checkpoint", 1]),
        "save": node("SaveImage", images=["end", 0], filename_prefix="live/hires"),
    }


SAMPLING = {"seed": 3, "steps": 4, "cfg": 5.0, "denoise": 0.5}


def ours(**more) -> dict:
    settings = {
        "factor": 2.0, "width": 0, "height": 0, **SAMPLING, "sampler": "euler",
        "scheduler": "normal", "tile": 0, "overlap": 64,
    }  # fmt: skip
    links = {"image": ["load", 0], "vae": ["checkpoint", 2]}
    return node("EnsembleHires", **{**settings, **links, **more})


PLAIN = {"model": ["checkpoint", 0], "positive": ["positive", 0], "negative": ["negative", 0]}


def pixels(server, graph: dict) -> np.ndarray:
    result = server.run(graph)
    assert result.status == "success", result.error
    return np.asarray(result.images[-1].convert("RGB")).astype(int)


def core(upscaled: dict) -> dict:
    return {
        **upscaled,
        "encode": node("VAEEncode", pixels=["large", 0], vae=["checkpoint", 2]),
        "sample": node(
            "KSampler", **PLAIN, latent_image=["encode", 0], sampler_name="euler",
            scheduler="normal", **SAMPLING,
        ),
        "end": node("VAEDecode", samples=["sample", 0], vae=["checkpoint", 2]),
    }  # fmt: skip


def test_one_tile_is_cores_chain(server, photo):
    scale = node(
        "ImageScale", image=["load", 0], upscale_method="lanczos", width=256, height=192,
        crop="disabled",
    )  # fmt: skip
    expected = pixels(server, {**start(photo), **core({"large": scale})})
    got = pixels(server, {**start(photo), "end": ours(**PLAIN)})
    assert got.shape == (192, 256, 3)
    assert np.array_equal(got, expected)


def test_an_upscale_model_is_cores_node(server, photo):
    loader = node("UpscaleModelLoader", model_name="small_x2.safetensors")
    large = node("ImageUpscaleWithModel", upscale_model=["up", 0], image=["load", 0])
    expected = pixels(server, {**start(photo), "up": loader, **core({"large": large})})
    linked = ours(**PLAIN, upscale_model=["up", 0])
    got = pixels(server, {**start(photo), "up": loader, "end": linked})
    assert np.array_equal(got, expected)


def test_tiles_of_people_with_a_controlnet(server, photo):
    """Each tile builds its own regional model and sees its part of the hint."""
    graph = start(photo)
    graph["people"] = node(
        "BreakRegionalPrompt", model=["checkpoint", 0], clip=["checkpoint", 1],
        text="two BREAK photo BREAK a woman <lora:849330:1> BREAK a man <lora:861629:1>",
        negative="blurry", method="fused", weights="a1111", base_strength=0.2, feather=0.06,
        layout="columns", order="", start=0.0, end=1.0, on_missing="error",
    )  # fmt: skip
    graph["net"] = node("ControlNetLoader", control_net_name="small_openpose.safetensors")
    graph["control"] = node(
        "ControlNetApplyAdvanced", positive=["people", 1], negative=["people", 2],
        control_net=["net", 0], image=["load", 0], strength=1.0, start_percent=0.0,
        end_percent=1.0,
    )  # fmt: skip
    lent = {"positive": ["control", 0], "negative": ["control", 1]}
    tiles = {"people": ["people", 3], "tile": 160, "steps": 2}
    graph["end"] = ours(**tiles, **lent)
    controlled = pixels(server, graph)
    assert controlled.shape == (192, 256, 3)
    graph["end"] = ours(**tiles)
    assert not np.array_equal(pixels(server, graph), controlled)


def test_denoise_zero_only_enlarges(server, photo):
    got = pixels(server, {**start(photo), "end": ours(denoise=0.0, width=200)})
    assert got.shape == (152, 200, 3)


def test_nothing_to_paint_with_is_said(server, photo):
    result = server.run({**start(photo), "end": ours()})
    assert result.status == "error" and "Link people, or model" in result.error


def test_a_size_beyond_memory_is_said(server, photo):
    more = {**PLAIN, "width": 16384, "height": 16384}
    graph = {**start(photo), "end": ours(**more)}
    graph["many"] = node("RepeatImageBatch", image=["load", 0], amount=4096)
    graph["end"]["inputs"]["image"] = ["many", 0]
    result = server.run(graph)
    assert result.status == "error" and "4096 x 16384x16384 px" in result.error
