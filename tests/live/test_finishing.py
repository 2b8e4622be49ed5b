"""The finishing chain on a server: what is off does nothing, what is on does what its node does."""

import numpy as np
import pytest
from PIL import Image

from dev import finishing

STAGES = ("upscale", "hires", "faces", "restore", "paste", "grade", "grain")


@pytest.fixture(scope="module")
def photo(server) -> Image.Image:
    from skimage import data

    picture = Image.fromarray(data.astronaut()).crop((96, 0, 352, 192)).resize((128, 96))
    server.upload(picture, "finishing.png")
    return picture


def node(kind: str, **inputs) -> dict:
    return {"class_type": kind, "inputs": inputs}


PAINT = {
    "model": ["checkpoint", 0],
    "positive": ["positive", 0],
    "negative": ["negative", 0],
}


def start() -> dict:
    return {
        "load": node("LoadImage", image="finishing.png"),
        "checkpoint": node("CheckpointLoaderSimple", ckpt_name="small_sd15.safetensors"),
        "positive": node("CLIPTextEncode", text="a woman", clip=["checkpoint", 1]),
        "negative": node("CLIPTextEncode", text="", clip=["checkpoint", 1]),
    }


def finish(**values) -> dict:
    """A photo through the chain with these values on its face."""
    face = {k: v["default"] for k, v in finishing.chain()["face"].items() if "default" in v}
    linked = {"image": ["load", 0], "vae": ["checkpoint", 2], **PAINT}
    chain = finishing.flat({**face, "steps": 2, "sampler": "euler", **linked, **values})
    return {**start(), **chain, "save": save(finishing.PREFIX + "film_grain")}


def save(key: str) -> dict:
    return node("SaveImage", images=[key, 0], filename_prefix="live/finishing")


def painted(server, graph: dict) -> np.ndarray:
    result = server.run(graph)
    assert result.status == "success", result.error
    return np.asarray(result.images[-1].convert("RGB"))


def test_stages_stand_in_the_documented_order():
    nodes, (key, _) = finishing.chain()["nodes"], finishing.chain()["output"]
    found = []
    while key != finishing.FACE:
        switch = nodes[key]
        assert switch["class_type"] == "ComfySwitchNode"
        assert switch["inputs"]["switch"] == [finishing.FACE, key]
        stage, before = switch["inputs"]["on_true"][0], switch["inputs"]["on_false"]
        assert nodes[stage]["inputs"]["image"] == before
        found.append(stage)
        key = before[0]
    assert tuple(reversed(found)) == STAGES


def test_what_is_off_neither_runs_nor_needs_its_links_and_files(server, photo):
    # A seed of its own, so that nothing is there from another run.
    graph = finish(seed=907)
    for key in ("upscale_model", "original", "mask"):
        assert not any(key in each["inputs"] for each in graph.values())
    assert graph["finish:restore"]["inputs"]["model"] == "none"
    result = server.run(graph)
    assert result.status == "success", result.error
    assert not set(result.executed) & {finishing.PREFIX + stage for stage in STAGES}
    # Lazy to the end: not even the checkpoint is read.
    assert "checkpoint" not in result.executed
    assert np.array_equal(np.asarray(result.images[-1].convert("RGB")), np.asarray(photo))


def test_upscale_and_hires_are_one_hires_node(server, photo):
    got = painted(
        server,
        finish(super_resolution=True, upscale_by=1.5, hires_fix=True, hires_denoise=0.5, seed=3),
    )
    alone = node(
        "EnsembleHires", image=["load", 0], vae=["checkpoint", 2], **PAINT, factor=1.5, width=0,
        height=0, denoise=0.5, seed=3, steps=2, cfg=7.0, sampler="euler", scheduler="karras",
        tile=1024, overlap=128,
    )  # fmt: skip
    assert got.shape == (144, 192, 3)
    assert np.array_equal(got, painted(server, {**start(), "end": alone, "save": save("end")}))


def test_restore_paste_back_grade_and_grain_follow_each_other(server, photo):
    mask = node("SolidMask", value=1.0, width=128, height=96)
    on = {"face_correct": True, "paste_back": True, "color_grading": True, "film_grain": True}
    values = {"face_model": "small_restoreformer.safetensors", "look": "Film Velvia", "seed": 5}
    linked = {"original": ["load", 0], "mask": ["mask", 0], "people": ["people", 3]}
    people = node(
        "BreakRegionalPrompt", model=["checkpoint", 0], clip=["checkpoint", 1],
        text="s BREAK c BREAK a woman", negative="", method="fused", weights="a1111",
        base_strength=0.2, feather=0.06, layout="columns", order="", start=0.0, end=1.0,
        on_missing="error",
    )  # fmt: skip
    graph = {"mask": mask, "people": people, **finish(**on, **values, **linked)}
    result = server.run(graph)
    assert result.status == "success", result.error
    stages = [key for key in result.executed if key in {finishing.PREFIX + s for s in STAGES}]
    assert stages == [finishing.PREFIX + stage for stage in STAGES[3:]]
    # Each stage is its node, one after the other.
    plain, last = {"mask": mask, "people": people, **start()}, ["load", 0]
    for stage in STAGES[3:]:
        plain[stage] = {**graph[finishing.PREFIX + stage]}
        plain[stage]["inputs"] = {**plain[stage]["inputs"], "image": last}
        last = [stage, 0]
    got = np.asarray(result.images[-1].convert("RGB"))
    assert np.array_equal(got, painted(server, {**plain, "save": save("grain")}))
    assert not np.array_equal(got, np.asarray(photo))


@pytest.mark.parametrize(
    ("switch", "words"),
    [
        ("face_correct", "put GFPGAN, RestoreFormer or CodeFormer into"),
        ("paste_back", "Link original and mask, or switch this stage off."),
    ],
)
def test_a_stage_that_lacks_something_says_what(server, photo, switch, words):
    result = server.run(finish(**{switch: True}))
    assert result.status == "error" and words in result.error
