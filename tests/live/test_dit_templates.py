"""The workflows of Z-Image, Krea 2, Flux.2 Klein and Qwen-Image as they are shipped: taken by core,
and run where ComfyUI detects a small model. Files of the public names are small ones or empty."""

import json
import os
import re
import shutil
import tempfile
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import ClassVar

import pytest
from PIL import Image
from safetensors.torch import save_file

from dev.base import PACK_FOLDER, engine_of_this_python, make_base
from dev.client import Client, read_graph
from dev.server import Server
from dev.templates import api_file, extras

from .dit_files import FAMILIES, lora_of, qwen_union, weights_of
from .test_templates import OPEN, SET, editor_file, needs_browser

NODES = [Path(__file__).resolve().parent / name for name in ("small_loaders.py", "small_shapes.py")]
NAMES = tuple(name for name, about in extras().items() if "model" in about["models"])
RUN = {
    "multi_person_krea2": "krea2", "multi_person_flux2_klein": "flux2",
    "multi_person_from_photos": "flux2", "multi_person_z_image": "small_z_image", "multi_person_qwen_image": "small_qwen_image",
}  # fmt: skip
FULL = {"multi_person_z_image": "z_image", "multi_person_qwen_image": "qwen_image"}
RUNS = [*RUN.items(), *(pytest.param(*each, marks=pytest.mark.slow) for each in FULL.items())]
TEXT = "a hall BREAK photo BREAK a woman <lora:{0}_first:1> BREAK a man <lora:{0}_second:1>"
WIDTH, HEIGHT = 384, 256


class WithLoaders(Server):
    """A server that loads the tests' loaders beside the pack."""

    nodes: ClassVar[Sequence[Path]] = NODES

    def command(self) -> list[str]:
        command = super().command()
        at = command.index(PACK_FOLDER) + 1
        return [*command[:at], *(node.name for node in self.nodes), *command[at:]]


@pytest.fixture(scope="module")
def dits():
    with tempfile.TemporaryDirectory(prefix="ensemble-dits-", ignore_cleanup_errors=True) as folder:
        models = Path(folder) / "models"
        kinds = {"loras"}
        for name in NAMES:
            for listed in extras()[name]["models"].values():
                for file in listed:
                    kinds.add(file["directory"])
                    place = models / file["directory"] / file["name"]
                    place.parent.mkdir(parents=True, exist_ok=True)
                    place.touch()
        (models / "loras").mkdir()
        small = Path(os.environ["ENSEMBLE_BASE"]) / "models"
        base = make_base(Path(folder) / "base", small.resolve())
        for node in NODES:
            shutil.copy(node, base / "custom_nodes" / node.name)
        settings = base / "user" / "default" / "comfy.settings.json"
        settings.write_text('{"Comfy.TutorialCompleted": true}')
        more = {kind: [models / kind] for kind in sorted(kinds)}
        with WithLoaders(engine_of_this_python(), base, models=more) as running:
            yield running, Client(running.url), models


def prepare(models: Path, name: str, family: str) -> str:
    """The name of a diffusion model's file, and two LoRAs for it. A small one has the public name."""
    (file,) = extras()[name]["models"]["model"]
    file_name = file["name"] if RUN.get(name) == family else f"{family}.safetensors"
    place = models / file["directory"] / file_name
    if not place.exists() or not place.stat().st_size:
        weights = weights_of(FAMILIES[family])
        save_file(weights, place)
        for seed, lora in enumerate(("first", "second")):
            save_file(lora_of(weights, seed), models / "loras" / f"{family}_{lora}.safetensors")
    return file_name


def with_optional(name: str) -> dict:
    """The API form with everything that the editor has muted or bypassed switched on."""
    graph, muted = read_graph(api_file(name)), extras()[name]["muted"]
    links = {key: dict(each) for key, each in muted["links"].items()}
    upscaler = links.pop("finish", {})
    if upscaler:
        links["finish:upscale"] = upscaler
    for key, each in links.items():
        graph[key]["inputs"].update(each)
    return graph | muted["nodes"]


@pytest.mark.parametrize("name", NAMES)
def test_a_dit_workflow_has_at_most_14_nodes(name):
    nodes = [n for n in editor_file(name)["nodes"] if n["type"] != "MarkdownNote"]
    assert len(nodes) <= 14


@pytest.mark.parametrize("optional", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_core_takes_it_as_shipped(dits, name, optional):
    """With the public files' names; with the optional nodes too, whose ControlNets are empty files."""
    _, client, _ = dits
    client.upload("example.png", _png())
    graph = with_optional(name) if optional else read_graph(api_file(name))
    status, answer = client.post(graph)
    assert status == 200 and not answer["node_errors"], answer


@pytest.mark.parametrize(("name", "family"), RUNS)
def test_it_paints_its_people_through_post_prompt(dits, name, family):
    _, client, models = dits
    graph = read_graph(api_file(name))
    graph["model"]["inputs"]["unet_name"] = prepare(models, name, family)
    plain = painted(client, graph, graph["text"]["inputs"]["value"])
    assert plain.size == (WIDTH, HEIGHT)
    with_loras = painted(client, graph, TEXT.format(family))
    assert plain.tobytes() != with_loras.tobytes()


def recipe(client: Client, text: str, model: str) -> tuple[dict, dict]:
    """A hosted service's text on this model: its graph and the report."""
    body = {"text": text, "seed": 7, "checkpoint": model}
    status, answer = client.post_json("/ensemble/v1/recipes/compile", body)
    assert status == 200, answer
    return answer["graph"], answer["report"]


@pytest.mark.parametrize("name", RUN)
def test_a_recipe_on_the_model_paints_its_people_through_post_prompt(dits, name):
    """As the service's text names them; two steps of the family's own sampler."""
    _, client, models = dits
    model = prepare(models, name, RUN[name]).removesuffix(".safetensors")
    size = f"\nw={WIDTH}\nh={HEIGHT}\nsteps=2"
    pictures = [
        run_recipe(client, text + size, model)
        for text in (TEXT.format(RUN[name]), re.sub(r" <lora:[^>]*>", "", TEXT))
    ]
    assert pictures[0].size == (WIDTH, HEIGHT)
    assert pictures[0].tobytes() != pictures[1].tobytes()


def run_recipe(client: Client, text: str, model: str) -> Image.Image:
    graph, report = recipe(client, text, model)
    assert report["left_out"] == []
    run = client.run(graph)
    assert run.status == "success", run.error
    said = " ".join(run.outputs["people"]["text"])
    assert "exact" not in said and "Warning" not in said, said
    (picture,) = (picture for picture in client.pictures(run) if picture.saved)
    return Image.open(BytesIO(picture.data)).convert("RGB")


def test_a_recipes_pose_is_followed_by_the_union_controlnet(dits):
    """Qwen-Image's, small: its strength changes the picture, and 0 is the picture without it."""
    _, client, models = dits
    name = "multi_person_qwen_image"
    model = prepare(models, name, RUN[name]).removesuffix(".safetensors")
    (file,) = extras()[name]["models"]["controlnet"]
    save_file(qwen_union(), models / file["directory"] / file["name"])
    text = TEXT.format(RUN[name]) + f"\nw={WIDTH}\nh={HEIGHT}\nsteps=2\ncontrolnet=pose"
    graph, report = recipe(client, text, model)
    assert file["name"] in [each["file"] for each in report["files"]]
    latents = []
    for strength in (0.0, 1.0):
        graph["control"]["inputs"]["strength"] = strength
        run = client.run(graph)
        assert run.status == "success", run.error
        (picture,) = (picture for picture in client.pictures(run) if picture.saved)
        latents.append(Image.open(BytesIO(picture.data)).convert("RGB").tobytes())
    del graph["control"], graph["controlnet"]
    graph["sampler"]["inputs"].update(positive=["people", 1], negative=["people", 2])
    run = client.run(graph)
    (picture,) = (picture for picture in client.pictures(run) if picture.saved)
    without = Image.open(BytesIO(picture.data)).convert("RGB").tobytes()
    assert latents[0] == without != latents[1]


def painted(client: Client, graph: dict, text: str) -> Image.Image:
    """The graph's picture, small and in two steps. Sampling's own settings stay."""
    graph = json.loads(json.dumps(graph))
    graph["text"]["inputs"]["value"] = text
    graph["pose"]["inputs"].update(width=WIDTH, height=HEIGHT)
    graph["finish:faces"]["inputs"].update(size=128)
    (graph["steps"] if "steps" in graph else graph["sample"])["inputs"]["steps"] = 2
    run = client.run(graph)
    assert run.status == "success", run.error
    said = " ".join(run.outputs["people"]["text"])
    assert "exact" not in said and "rackets" not in said, said
    (picture,) = (picture for picture in client.pictures(run) if picture.saved)
    return Image.open(BytesIO(picture.data)).convert("RGB")


def _png() -> bytes:
    buffer = BytesIO()
    Image.new("RGB", (64, 64)).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.browser
@needs_browser
@pytest.mark.parametrize("name", ["multi_person_krea2", "multi_person_flux2_klein"])
def test_the_editor_opens_and_queues_it(dits, name):
    sync_api = pytest.importorskip("playwright.sync_api")
    server, client, models = dits
    prepare(models, name, RUN[name])
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"),
            args=["--no-sandbox", "--disable-background-networking"],
        )
        page = browser.new_page(viewport={"width": 1900, "height": 1000})
        page.set_default_timeout(120_000)
        page.goto(server.url)
        page.wait_for_function("window.app && window.app.graph && window.app.canvas")
        page.wait_for_timeout(2000)
        page.evaluate(OPEN, editor_file(name))
        steps = "Flux2Scheduler" if "flux2" in name else "KSampler"
        small = [["PoseControlInput", "width", WIDTH], ["PoseControlInput", "height", HEIGHT]]
        page.evaluate(SET, [*small, [steps, "steps", 1]])
        before = set(client.get_json("/history"))
        page.evaluate("() => app.queuePrompt(0, 1)")
        done: list = []
        for _ in range(240):
            page.wait_for_timeout(500)
            history = client.get_json("/history")
            done = [run for key, run in history.items() if key not in before]
            if done:
                break
        if folder := os.environ.get("ENSEMBLE_SCREENSHOTS"):
            page.screenshot(path=f"{folder}/{name}.png")
        browser.close()
    (run,) = done
    assert run["status"]["status_str"] == "success", run["status"]
