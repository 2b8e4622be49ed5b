"""The leak meter and the effect matrix through POST /prompt, with the small random models."""

import json

import pytest
from PIL import Image

from dev.client import RefusedError

SIZE = (256, 128)


def node(kind: str, **inputs) -> dict:
    return {"class_type": kind, "inputs": inputs}


@pytest.fixture(scope="module")
def photos(server) -> dict[str, str]:
    """An astronaut, and beside her somebody bluish, darker and turned round; each alone."""
    from skimage import data

    left = Image.fromarray(data.astronaut()).resize((128, 128), Image.Resampling.LANCZOS)
    red, green, blue = left.transpose(Image.Transpose.FLIP_LEFT_RIGHT).split()
    right = Image.merge("RGB", (blue, green, red)).point(lambda level: level // 2)
    both, spots = Image.new("RGB", SIZE), Image.new("RGB", SIZE)
    both.paste(left, (0, 0))
    both.paste(right, (128, 0))
    # The faces.
    for box in ((42, 15, 68, 45), (188, 15, 214, 45)):
        spots.paste("white", box)
    pictures = {"both": both, "left": left, "right": right, "spots": spots}
    return {name: server.upload(p, f"leak_{name}.png") for name, p in pictures.items()}


def people() -> dict:
    return node(
        "BreakRegionalPrompt", model=["checkpoint", 0], clip=["checkpoint", 1],
        text="two BREAK photo BREAK a woman <lora:849330:1> BREAK a man <lora:861629:1>",
        negative="blurry", method="fused", weights="a1111", base_strength=0.2, feather=0.06,
        layout="columns", order="", start=0.0, end=1.0, on_missing="error",
    )  # fmt: skip


def graph(photos: dict[str, str], order=("left", "right"), **more) -> dict:
    meter = {
        "image": ["both", 0], "people": ["people", 3], "references": ["references", 0],
        "mask": ["spots", 0], "names": "", "detector": "mask", "embedder": "auto",
        "threshold": 0.0, "yunet_model": "first in folder", **more,
    }  # fmt: skip
    return {
        "checkpoint": node("CheckpointLoaderSimple", ckpt_name="small_sd15.safetensors"),
        "both": node("LoadImage", image=photos["both"]),
        "spots": node("LoadImageMask", image=photos["spots"], channel="red"),
        "first": node("LoadImage", image=photos[order[0]]),
        "second": node("LoadImage", image=photos[order[1]]),
        "references": node("ImageBatch", image1=["first", 0], image2=["second", 0]),
        "people": people(),
        "meter": node("EnsembleLeakMeter", **meter),
        "save": node("SaveImage", images=["meter", 0], filename_prefix="live/leak"),
        "report": node("PreviewAny", source=["meter", 1]),
        "share": node("PreviewAny", source=["meter", 2]),
        "count": node("PreviewAny", source=["meter", 4]),
    }


def figures(server, graph: dict) -> tuple[dict, dict]:
    """The report, and what the other outputs showed."""
    result = server.run(graph)
    assert result.status == "success", result.error
    texts = {name: result.outputs[name]["text"][0] for name in ("report", "share", "count")}
    return json.loads(texts["report"]), texts


@pytest.mark.parametrize("embedder", ["auto", "dinov2"])
def test_a_picture_of_two_people_is_measured(server, photos, embedder):
    report, texts = figures(server, graph(photos, embedder=embedder))
    assert report["embedder"] == {"auto": "SFace", "dinov2": "DINOv2"}[embedder]
    assert report["whole"]["right_share"] == 1.0 == float(texts["share"])
    assert report["whole"]["count"] == 2 == int(texts["count"])
    assert [p["face"] for p in report["pictures"][0]["people"]] == [1, 2]
    swapped, _ = figures(server, graph(photos, ("right", "left"), embedder=embedder))
    assert swapped["whole"]["right_share"] == 0.0
    assert swapped["pictures"][0]["swapped"] == [["person 1", "person 2"]]


def test_a_picture_without_faces_is_a_result(server, photos):
    empty = graph(photos)
    empty["spots"]["inputs"]["channel"] = "alpha"  # LoadImageMask gives 1 - alpha: nothing
    report, texts = figures(server, empty)
    assert report["whole"]["count"] == 0 == int(texts["count"])
    assert report["pictures"][0]["missing"] == ["person 1", "person 2"]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"references": ["first", 0]}, "references: 1 for 2 people"),
        ({"references": None}, "references: link a picture of each person"),
        ({"detector": "pose"}, "link input pose"),
    ],
)
def test_what_is_missing_is_said(server, photos, more, said):
    whole = graph(photos, **more)
    if more.get("references", 1) is None:
        del whole["meter"]["inputs"]["references"]
    result = server.run(whole)
    assert result.status == "error" and said in result.error


def test_unknown_names_are_refused_before_the_run(server, photos):
    with pytest.raises(RefusedError, match="nobody in section 'people'"):
        server.run(graph(photos, names="zoe"))


def test_the_effect_matrix_of_two_loras(server):
    whole = {
        "checkpoint": node("CheckpointLoaderSimple", ckpt_name="small_sd15.safetensors"),
        "people": people(),
        "latent": node("EmptyLatentImage", width=128, height=64, batch_size=1),
        "matrix": node(
            "EnsembleEffectMatrix", people=["people", 3], latent=["latent", 0], seed=3, seeds=2,
            steps=2, cfg=3.0, sampler="euler", scheduler="normal",
        ),
        "save": node("SaveImage", images=["matrix", 0], filename_prefix="live/effects"),
        "report": node("PreviewAny", source=["matrix", 1]),
    }  # fmt: skip
    result = server.run(whole)
    assert result.status == "success", result.error
    report = json.loads(result.outputs["report"]["text"][0])
    assert [report["mean"][i][i] for i in range(2)] == [1.0, 1.0]
    assert report["seeds"] == [3, 4] and 0 < report["leak"] < 1 and report["leak_half"] > 0
    assert "effect in others' regions" in result.outputs["matrix"]["text"][0]
    assert result.images
