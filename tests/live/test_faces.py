"""FaceInpaint through POST /prompt: people with their LoRAs, a plain model, ControlNets, refusals."""

from io import BytesIO

import numpy as np
import pytest
from PIL import Image, ImageDraw

from dev.client import RefusedError

SIZE = (192, 128)
BOXES = [(30, 30, 70, 80), (120, 40, 160, 90)]


def node(kind: str, **inputs) -> dict:
    return {"class_type": kind, "inputs": inputs}


@pytest.fixture(scope="module")
def photo(server) -> str:
    from skimage import data

    picture = Image.fromarray(data.astronaut()).resize(SIZE, Image.Resampling.LANCZOS)
    return server.upload(picture, "faces.png")


@pytest.fixture(scope="module")
def spots(server) -> str:
    picture = Image.new("RGB", SIZE)
    for left, top, right, bottom in BOXES:
        ImageDraw.Draw(picture).rectangle((left, top, right - 1, bottom - 1), fill="white")
    return server.upload(picture, "spots.png")


def start(photo: str, spots: str) -> dict:
    return {
        "load": node("LoadImage", image=photo),
        "mask": node("LoadImageMask", image=spots, channel="red"),
        "checkpoint": node("CheckpointLoaderSimple", ckpt_name="small_sd15.safetensors"),
        "positive": node("CLIPTextEncode", text="a woman", clip=["checkpoint", 1]),
        "negative": node("CLIPTextEncode", text="blurry", clip=["checkpoint", 1]),
        "save": node("SaveImage", images=["end", 0], filename_prefix="live/faces"),
        "end": ours(),
    }


PLAIN = {"model": ["checkpoint", 0], "positive": ["positive", 0], "negative": ["negative", 0]}
SETTINGS = {
    "seed": 3, "steps": 3, "cfg": 5.0, "sampler": "euler", "scheduler": "normal", "denoise": 0.6,
    "detector": "auto", "unmatched": "common", "size": 128, "context": 2.0, "grow": 0.15,
    "feather": 0.15, "max_faces": 32, "yunet_model": "first in folder",
}  # fmt: skip


def ours(**more) -> dict:
    links = {"image": ["load", 0], "vae": ["checkpoint", 2], "mask": ["mask", 0]}
    return node("FaceInpaint", **{**SETTINGS, **links, **more})


def people() -> dict:
    return node(
        "BreakRegionalPrompt", model=["checkpoint", 0], clip=["checkpoint", 1],
        text="two BREAK photo BREAK a woman <lora:849330:1> BREAK a man <lora:861629:1>",
        negative="blurry", method="fused", weights="a1111", base_strength=0.2, feather=0.06,
        layout="columns", order="", start=0.0, end=1.0, on_missing="error",
    )  # fmt: skip


def pictures(server, graph: dict) -> list[np.ndarray]:
    result = server.run(graph)
    assert result.status == "success", result.error
    return saved(server, result)


def saved(server, result) -> list[np.ndarray]:
    """What was saved, without what the nodes show."""
    files = [each.data for each in server.client.pictures(result.run) if each.node == "save"]
    return [np.asarray(Image.open(BytesIO(data)).convert("RGB")).astype(int) for data in files]


def original(server, photo: str) -> np.ndarray:
    return pictures(server, {
        "load": node("LoadImage", image=photo),
        "save": node("SaveImage", images=["load", 0], filename_prefix="live/faces"),
    })[0]  # fmt: skip


def changed(after: np.ndarray, before: np.ndarray) -> np.ndarray:
    return (after != before).any(-1)


def test_faces_of_people_change_and_nothing_else_does(server, photo, spots):
    before = original(server, photo)
    graph = start(photo, spots)
    graph["people"] = people()
    graph["end"] = ours(people=["people", 3])
    result = server.run(graph)
    assert result.status == "success", result.error
    # One run of three steps for both faces.
    assert result.log.count("0/3 [") == 1
    redrawn = saved(server, result)[0]
    graph["save"]["inputs"]["images"] = ["end", 3]
    numbered = pictures(server, graph)[0]
    where = changed(redrawn, before)
    near = np.zeros_like(where)
    for left, top, right, bottom in BOXES:
        near[top - 14 : bottom + 14, left - 14 : right + 14] = True
        assert where[top + 10 : bottom - 10, left + 10 : right - 10].mean() > 0.9
    assert not where[~near].any()
    assert changed(numbered, before).any()


def test_one_persons_lora_changes_only_their_face(server, photo, spots):
    graph = start(photo, spots)
    graph["people"] = people()
    graph["end"] = ours(people=["people", 3])
    first = pictures(server, graph)[0]
    text = graph["people"]["inputs"]["text"]
    graph["people"]["inputs"]["text"] = text.replace("861629:1", "861629:0.2")
    second = pictures(server, graph)[0]
    where = changed(first, second)
    assert where[:, 100:].any() and not where[:, :90].any()


def test_a_plain_model_with_a_controlnet_and_sde(server, photo, spots):
    graph = start(photo, spots)
    graph["end"] = ours(**PLAIN, sampler="dpmpp_2m_sde")
    plain = pictures(server, graph)[0]
    graph["net"] = node("ControlNetLoader", control_net_name="small_openpose.safetensors")
    graph["control"] = node(
        "ControlNetApplyAdvanced", positive=["positive", 0], negative=["negative", 0],
        control_net=["net", 0], image=["load", 0], strength=1.0, start_percent=0.0,
        end_percent=1.0,
    )  # fmt: skip
    held = {"positive": ["control", 0], "negative": ["control", 1]}
    graph["end"] = ours(**{**PLAIN, **held}, sampler="dpmpp_2m_sde")
    assert changed(pictures(server, graph)[0], plain).any()


def test_a_face_at_the_border_of_a_small_picture(server):
    small = server.upload(Image.new("RGB", (40, 56), (90, 120, 80)), "small.png")
    white = server.upload(Image.new("RGB", (40, 56), "white"), "white.png")
    graph = start(small, white)
    graph["end"] = ours(**PLAIN)
    assert pictures(server, graph)[0].shape == (56, 40, 3)


def test_no_face_leaves_the_picture(server, photo):
    black = server.upload(Image.new("RGB", SIZE), "black.png")
    graph = start(photo, black)
    graph["end"] = ours(**PLAIN)
    result = server.run(graph)
    assert result.status == "success" and "no face to redraw" in result.log
    assert np.array_equal(saved(server, result)[0], original(server, photo))


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({}, "Link people, or model"),
        ({**PLAIN, "sampler": "dpm_adaptive"}, "dpm_adaptive cannot redraw several faces"),
        ({**PLAIN, "detector": "pose"}, "link input pose"),
        ({**PLAIN, "detector": "yunet"}, "YuNet"),
    ],
)
def test_what_is_missing_is_said(server, photo, spots, more, said):
    result = server.run({**start(photo, spots), "end": ours(**more)})
    assert result.status == "error" and said in result.error


@pytest.mark.parametrize("more", [{"yunet_model": "none.onnx"}, {"detector": "magic"}])
def test_unknown_choices_are_refused_before_the_run(server, photo, spots, more):
    with pytest.raises(RefusedError):
        server.run({**start(photo, spots), "end": ours(**PLAIN, **more)})
