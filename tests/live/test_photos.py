"""A picture per person through POST /prompt: by reference latents and by an IP-Adapter, alone and beside a
part of several people; and what a user would get wrong, refused before anything is sampled."""

import json
import os
import shutil
import tempfile
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import save_file

from dev.base import engine_of_this_python, make_base
from dev.client import Client

from .dit_files import FAMILIES, weights_of
from .regional_graphs import regional
from .small_vision import WIDTH
from .test_dit_templates import WithLoaders

HERE = Path(__file__).resolve().parent
KINDS = {
    "diffusion_models": "flux2.safetensors", "text_encoders": "clip.safetensors",
    "vae": "flux2-vae.safetensors", "ipadapter": "it.safetensors",
    "clip_vision": "vision.safetensors",
}  # fmt: skip
TEXT = "a hall BREAK photo BREAK a woman <ref:ann> BREAK a man <ref:people/bob.jpg>"
WORDS = "a hall BREAK photo BREAK a woman BREAK a man"
TOGETHER = " BREAK 1+2: shaking hands"
SIZE = {"width": 192, "height": 128}


class WithVision(WithLoaders):
    nodes = (*WithLoaders.nodes, HERE / "small_vision.py")


def ip_adapter(checkpoint: Path) -> dict:
    """A file of the base layout, for the cross-attentions of a UNet: down, up, then the middle."""
    generator = torch.Generator().manual_seed(5)

    def drawn(*shape):
        return torch.randn(*shape, generator=generator) / shape[-1] ** 0.5

    with safe_open(checkpoint, "pt") as file:
        keys = [key for key in file.keys() if key.endswith("attn2.to_k.weight")]  # noqa: SIM118
        shapes = {key: file.get_slice(key).get_shape() for key in keys}

    def place(key: str):
        words = key.removeprefix("model.diffusion_model.").split(".")
        order = ("input_blocks", "output_blocks", "middle_block").index(words[0])
        return order, *(int(word) for word in words[1:] if word.isdigit())

    text = next(iter(shapes.values()))[1]
    state = {
        "image_proj.proj.weight": drawn(4 * text, WIDTH), "image_proj.proj.bias": drawn(4 * text),
        "image_proj.norm.weight": torch.ones(text), "image_proj.norm.bias": torch.zeros(text),
    }  # fmt: skip
    for number, key in enumerate(sorted(keys, key=place)):
        for side in ("k", "v"):
            state[f"ip_adapter.{2 * number + 1}.to_{side}_ip.weight"] = drawn(*shapes[key])
    return state


@pytest.fixture(scope="module")
def photos():
    with tempfile.TemporaryDirectory(prefix="ensemble-refs-", ignore_cleanup_errors=True) as folder:
        models = Path(folder) / "models"
        for kind, name in KINDS.items():
            (models / kind).mkdir(parents=True)
            (models / kind / name).touch()
        small = (Path(os.environ["ENSEMBLE_BASE"]) / "models").resolve()
        save_file(weights_of(FAMILIES["flux2"]), models / "diffusion_models" / "flux2.safetensors")
        adapter = ip_adapter(small / "checkpoints" / "small_sd15.safetensors")
        save_file(adapter, models / "ipadapter" / KINDS["ipadapter"])
        save_file({"a": torch.ones(1)}, models / "ipadapter" / "lora.safetensors")
        base = make_base(Path(folder) / "base", small)
        for node in WithVision.nodes:
            shutil.copy(node, base / "custom_nodes" / node.name)
        pictures = base / "input"
        (pictures / "people").mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (48, 64), (200, 40, 40)).save(pictures / "ann.png")
        Image.new("RGB", (64, 48), (40, 40, 200)).save(pictures / "people" / "bob.jpg")
        (pictures / "bad.png").write_bytes(b"no picture")
        (pictures / "cut.png").write_bytes((pictures / "ann.png").read_bytes()[:60])
        rng = np.random.default_rng(0)
        deep = rng.integers(0, 2**16, (48, 48)).astype(np.uint16)
        Image.fromarray(deep).save(pictures / "deep.png")
        Image.new("RGBA", (48, 48), (9, 200, 9, 0)).save(pictures / "clear.png")
        more = {kind: [models / kind] for kind in KINDS}
        with WithVision(engine_of_this_python(), base, models=more) as running:
            yield Client(running.url)


def node(kind: str, **inputs) -> dict:
    return {"class_type": kind, "inputs": inputs}


def latents(text: str, **more) -> dict:
    """On a small Flux.2, whose references are latents."""
    graph = regional(text, negative="", more={"weights": "off", **more})
    graph["model"] = node("UNETLoader", unet_name=KINDS["diffusion_models"], weight_dtype="default")
    graph["clip"] = node(
        "CLIPLoader", clip_name=KINDS["text_encoders"], type="flux2", device="default"
    )
    graph["vae"] = node("VAELoader", vae_name=KINDS["vae"])
    graph["latent"] = node("EmptyFlux2LatentImage", **SIZE, batch_size=1)
    links = {"model": ["model", 0], "clip": ["clip", 0], "vae": ["vae", 0]}
    graph["people"]["inputs"].update(links)
    graph["sample"]["inputs"].update(cfg=1.0, scheduler="simple")
    graph["decode"]["inputs"]["vae"] = ["vae", 0]
    del graph["checkpoint"]
    return graph


def adapted(text: str, **more) -> dict:
    """On the small SD1.5, whose references come in by an IP-Adapter."""
    graph = regional(text, more={"ip_adapter": KINDS["ipadapter"], "image_strength": 0.8, **more})
    graph["vision"] = node("CLIPVisionLoader", clip_name=KINDS["clip_vision"])
    graph["people"]["inputs"]["clip_vision"] = ["vision", 0]
    return graph


WAYS = [latents, adapted]


def painted(client: Client, graph: dict) -> np.ndarray:
    run = client.run(graph)
    assert run.status == "success", run.error
    assert not any(line.startswith("Warning") for line in run.outputs["people"]["text"])
    (picture,) = (picture for picture in client.pictures(run) if picture.saved)
    return np.asarray(Image.open(BytesIO(picture.data)).convert("RGB")).astype(int)


@pytest.mark.parametrize("together", ["", TOGETHER])
@pytest.mark.parametrize("method", ["fused", "exact"])
@pytest.mark.parametrize("way", WAYS)
def test_pictures_act(photos, way, method, together):
    """Each person's does, beside what both do together, too."""
    text = TEXT + together
    both = painted(photos, way(text, method=method))
    assert not np.array_equal(both, painted(photos, way(WORDS + together, method=method)))
    one = painted(photos, way(text.replace(" <ref:ann>", ""), method=method))
    assert not np.array_equal(one, both)


@pytest.mark.parametrize("way", WAYS)
def test_linked_pictures_are_the_files(photos, way):
    """In prompt order, for those without a tag."""
    graph = way(TEXT.replace(" <ref:ann>", ""))
    graph["ann"] = node("LoadImage", image="ann.png")
    graph["people"]["inputs"]["references"] = ["ann", 0]
    assert np.array_equal(painted(photos, graph), painted(photos, way(TEXT)))


@pytest.mark.parametrize("way", WAYS)
def test_pictures_of_any_depth_and_with_alpha_are_taken(photos, way):
    text = TEXT.replace("<ref:ann>", "<ref:deep>").replace("<ref:people/bob.jpg>", "<ref:clear>")
    painted(photos, way(text))


def refusal(client: Client, graph: dict) -> str:
    """What the queue or the node says; nothing was sampled."""
    status, answer = client.post(graph)
    if status == 400:
        return json.dumps(answer["node_errors"]["people"], ensure_ascii=False)
    run = client.run(graph)
    assert run.status == "error" and "sample" not in run.executed
    return run.error


@pytest.mark.parametrize("linked", [False, True])
@pytest.mark.parametrize(
    ("text", "needles"),
    [
        (TEXT.replace("ann", "anna"), ["'text'", "'anna'", "Nearest", "ann.png"]),
        (TEXT.replace("ann", "../ann"), ["'text'", "no file in the input folder"]),
        (TEXT.replace("ann", "bad"), ["'text'", "'bad'", "bad.png is no picture"]),
        (TEXT.replace("ann", "cut"), ["'text'", "'cut'", "cut.png is no picture"]),
        ("a <ref:ann> BREAK BREAK b", ["one person's", "<ref:NAME>", "line 1"]),
        (WORDS + " BREAK 1+2: hug <ref:ann>", ["one person's", "several people"]),
        ("a BREAK b <ref:ann>", ["common", "BREAK BREAK"]),
        ("a BREAK BREAK b <ref:ann> <ref:bob>", ["second reference picture"]),
        ("a BREAK " + "BREAK b <ref:ann> " * 20, ["20 reference pictures", "10 are the most"]),
        (TEXT + " BREAK 1+3: hug", ["'1+3'", "of the 2 in the prompt"]),
    ],
)  # fmt: skip
def test_a_bad_text_is_refused(photos, text, needles, linked):
    graph = latents(text)
    if linked:
        graph["words"] = node("PrimitiveStringMultiline", value=text)
        graph["people"]["inputs"]["text"] = ["words", 0]
    told = refusal(photos, graph)
    assert all(needle in told for needle in needles), told


def without(graph: dict, name: str) -> dict:
    del graph["people"]["inputs"][name]
    return graph


def with_pictures(graph: dict, count: int) -> dict:
    graph["ann"] = node("LoadImage", image="ann.png")
    graph["many"] = node("RepeatImageBatch", image=["ann", 0], amount=count)
    graph["people"]["inputs"]["references"] = ["many", 0]
    return graph


@pytest.mark.parametrize(
    ("make", "needles"),
    [
        (lambda: without(latents(TEXT), "vae"), ["'vae'", "not connected", "Link"]),
        (lambda: without(adapted(TEXT), "clip_vision"), ["'clip_vision'", "not connected"]),
        (lambda: adapted(TEXT, ip_adapter="none"), ["'ip_adapter'", "none", "models/ipadapter"]),
        (lambda: adapted(TEXT, ip_adapter="lora.safetensors"), ["'ip_adapter'", "lora.safetensors"]),
        (lambda: adapted(TEXT, ip_adapter="gone.safetensors"), ["ip_adapter", "gone.safetensors"]),
        (lambda: with_pictures(latents(WORDS), 3), ["'references'", "3 pictures", "2 people"]),
        (lambda: with_pictures(latents(TEXT), 1), ["'references'", "1 pictures", "of whom 2 have"]),
        (lambda: with_pictures(adapted(WORDS + TOGETHER), 3), ["'references'", "2 people"]),
        (lambda: with_pictures(latents("a park"), 1), ["'references'", "0 people"]),
        (lambda: with_pictures(latents("a BREAK " + "BREAK b " * 20), 20), ["20 ref", "10 are"]),
    ],
)  # fmt: skip
def test_bad_links_are_refused(photos, make, needles):
    told = refusal(photos, make())
    assert all(needle in told for needle in needles), told
