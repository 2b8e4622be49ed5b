"""Recipes on a real server: compiled by its route, run by it, opened in its editor."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dev.base import ROOT

EXAMPLES = Path(__file__).parent.parent / "fixtures" / "recipes"
NAMES = ("multi_person.txt", "masked_portrait.txt", "lora_multi.json")
COMPILE = "/ensemble/v1/recipes/compile"
SMALL = {"width": 192, "height": 128, "steps": 2}


def compile_text(server, text: str, **options):
    return server.client.post_json(COMPILE, {"text": text, "seed": 7, **options})


def compiled(server, text: str, **options) -> dict:
    status, answer = compile_text(server, text, **options)
    assert status == 200, answer
    return answer


@pytest.fixture(scope="module")
def machine(server):
    """The server with two people's skeleton as input picture, and aliases for the printed URLs."""
    from ensemble_portraits.ensemble.pose.default import default_pose
    from ensemble_portraits.ensemble.pose.draw import draw
    from PIL import Image

    pose, _ = default_pose(2, 768, 512)
    server.upload(Image.fromarray(draw(pose)), "skeleton.png")
    path = server.base / "user" / "default" / "ensemble" / "aliases.json"
    aliases = json.loads(path.read_text())
    aliases["checkpoints"]["default"] = "small_sd15.safetensors"
    aliases["images"] = {
        "d6ff3soq5pok5tlbcanf599vkw06": "skeleton.png",
        "2vxpjloxggnv9s4tw33ckn5xzdnp": "skeleton.png",
    }
    path.write_text(json.dumps(aliases))
    return server


@pytest.mark.parametrize("name", NAMES)
def test_documented_examples_run_under_the_recorded_shrink(machine, name):
    text = (EXAMPLES / name).read_text()
    answer = compiled(machine, text, skip_missing=True, hashes=True, **SMALL)
    assert answer["report"]["left_out"] == []
    assert set(answer["report"]["shrink"]) == {"width", "height", "steps"}
    result = machine.run(answer["graph"])
    assert result.status == "success", result.error
    picture = np.asarray(result.images[-1])
    factor = 1 if name == "lora_multi.json" else 4
    assert picture.shape == (128 * factor, 192 * factor, 3)
    assert picture.std() > 1
    for entry in answer["report"]["files"]:
        if entry["folder"] in ("checkpoints", "loras"):
            assert len(answer["report"]["hashes"][entry["file"]]["autov2"]) == 10


@pytest.fixture
def other_checkpoints(machine) -> Iterator[tuple[str, str]]:
    """Two further checkpoints, each with weights of its own in the last layer."""
    from safetensors.torch import load_file, save_file

    folder = machine.base / "models" / "checkpoints"
    weights = load_file(folder / "small_sd15.safetensors")
    last = "model.diffusion_model.out.2.weight"
    own, names = weights[last], ("small_one", "small_two")
    for name, factor in zip(names, (-1.0, 0.5), strict=True):
        weights[last] = own * factor
        save_file(weights, folder / f"{name}.safetensors")
    yield names
    for name in names:
        (folder / f"{name}.safetensors").unlink()


def test_two_further_checkpoints_paint_their_own_regions_only(machine, other_checkpoints):
    one, two = other_checkpoints
    text = f"scene BREAK c BREAK ann <lora:{one}:1> BREAK bob <lora:{two}:1>"
    graph = compiled(machine, text, **SMALL)["graph"]
    extra = {
        "before": ["decode", 0],
        "between": ["person_1_composite", 0],
        "region_1": ["person_1_region", 0],
        "region_2": ["person_2_region", 0],
    }
    for key, source in extra.items():
        graph[key] = {
            "class_type": "SaveImage",
            "inputs": {"images": source, "filename_prefix": key},
        }
    result = machine.run(graph)
    assert result.status == "success", result.error
    pictures = machine.client.pictures(result.run)
    shown = {
        each.node: np.asarray(Image.open(BytesIO(each.data)).resize((192, 128))).astype(int)
        for each in pictures
    }
    for first, second, region in (
        ("before", "between", "region_1"),
        ("between", "save", "region_2"),
    ):
        inside = shown[region][..., 0]
        changed = np.abs(shown[second] - shown[first]).max(axis=-1)
        assert (inside == 0).sum() > 1000
        assert changed[inside == 0].max() == 0
        assert changed[inside == 255].mean() > 5
    # Each pass is painted by its own checkpoint.
    graph["person_2_checkpoint"]["inputs"]["ckpt_name"] = f"{one}.safetensors"
    again = machine.run(graph)
    assert not np.array_equal(np.asarray(again.images[-1]), np.asarray(result.images[-1]))


def test_a_batch_reports_seed_and_index_of_each_picture(machine):
    answer = compiled(machine, "a woman\nnum_images=2\nscheduler=euler", **SMALL)
    assert answer["report"]["pictures"] == [
        {"seed": 7, "batch_index": 0},
        {"seed": 7, "batch_index": 1},
    ]
    images = machine.run(answer["graph"]).images
    assert len(images) == 2
    assert images[0].tobytes() != images[1].tobytes()


def test_panorama_translation_safety_and_guidance_run(machine):
    body = {
        "prompt": "una mujer hermosa caminando por la playa", "model_id": "small_sd15",
        "panorama": "yes", "multi_lingual": "yes", "safety_checker": "yes",
        "self_attention": "yes", "tomesd": "yes", "clip_skip": 2, "upscale": "yes",
        "scheduler": "DDIMScheduler",
    }  # fmt: skip
    result = machine.run(compiled(machine, json.dumps(body), **SMALL)["graph"])
    assert result.status == "success", result.error
    assert result.images[-1].size == (384, 256)
    assert result.outputs["safety"]["text"] == ["Safety checker: 0 of 1 pictures flagged."]


@pytest.mark.parametrize(
    ("text", "status", "words"),
    [
        ("scene\nbanana=1\nw=8\nsteps=x", 400, "steps"),
        ('{"prompt": "a", "seed": 1, "seed": 2}', 400, "twice"),
        ('{"prompt": "a", "model_id": "../../etc/passwd"}', 400, "'..'"),
        ('{"prompt": "a", "model_id": "nothing-like-it"}', 422, "is no file in 'checkpoints'"),
        ("scene BREAK c BREAK <lora:nobody:1>", 422, "is no file in 'loras'"),
        ("a" * 10_000_000, 400, "at most 1,000,000"),
        ("scene\x00", 400, "control character"),
        ("s BREAK c" + " BREAK p" * 100, 400, "100 people"),
    ],
)
def test_bad_recipes_get_their_reasons(machine, text, status, words):
    found, answer = compile_text(machine, text)
    assert found == status
    assert words in json.dumps(answer)


def test_the_route_takes_json_objects_only(machine):
    client = machine.client
    assert client.request("POST", COMPILE, b'{"text": "a"}', "text/plain")[0] == 415
    assert client.request("POST", COMPILE, b"{", "application/json")[0] == 400
    assert client.request("POST", COMPILE, b"[" * 100_000, "application/json")[0] == 400
    for body in ([], {}, {"text": 5}, {"text": "a", "path": "/etc"}, {"text": "a", "steps": "2"},
                 {"text": "a", "seed": -1}, {"text": "a", "output_size": "x"},
                 {"text": "a", "width": 0}, {"text": "a", "height": 100},
                 {"text": "a", "steps": 0}, {"text": "a", "pictures": 65}):  # fmt: skip
        status, answer = client.post_json(COMPILE, body)
        assert (status, list(answer)) == (400, ["error"])


def test_dev_recipe_writes_pictures_graph_and_report(machine, tmp_path):
    recipe = tmp_path / "portrait of ann.txt"
    recipe.write_text("ann <lora:849330:0.5>\nnum_images=2\n")
    command = [sys.executable, "dev", "recipe", str(recipe), "--url", machine.url]
    done = subprocess.run(
        [*command, "--size", "192x128", "--steps", "2", "--seed", "3"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    output = ROOT / "output"
    report = json.loads((output / "portrait of ann.report.json").read_text())
    assert (report["seed"], report["status"]) == (3, "success")
    assert report["shrink"]["steps"] == "default -> 2"
    assert report["hashes"]["people/ohwx_first.safetensors"]["autov2"]
    for name in ("_1.png", "_2.png", ".api.json", ".workflow.json", ".report.json"):
        (output / f"portrait of ann{name}").unlink()
    recipe.write_text("ann\nbanana=1\n")
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 1
    assert "banana: unknown setting" in done.stderr


@pytest.mark.browser
@pytest.mark.skipif(not shutil.which("chromium"), reason="needs chromium on the PATH")
def test_the_editor_turns_the_workflow_back_into_the_graph(machine):
    """The front end's own graphToPrompt over our editor format, node by node."""
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"),
            args=["--no-sandbox", "--disable-background-networking"],
        )
        page = browser.new_page()
        page.set_default_timeout(120_000)  # a busy machine takes a minute
        page.goto(machine.url)
        page.wait_for_function("window.app && window.app.graph && window.app.canvas")
        page.wait_for_timeout(2000)
        inpaint = {"init_image": "skeleton.png", "mask_image": "skeleton.png", "width": 256}
        texts = [(EXAMPLES / name).read_text() for name in NAMES]
        texts.append(json.dumps({"prompt": "a", "model_id": "f222-diffusion", **inpaint}))
        for text in texts:
            answer = compiled(machine, text, skip_missing=True, workflow=True)
            found = page.evaluate(
                "async workflow => { await app.loadGraphData(workflow);"
                " return (await app.graphToPrompt()).output }",
                answer["workflow"],
            )
            assert _with_keys(found, list(answer["graph"])) == {
                key: (node["class_type"], node["inputs"]) for key, node in answer["graph"].items()
            }
        browser.close()


def _with_keys(graph: dict, keys: list[str]) -> dict:
    """The editor's numbers back to our keys."""
    return {
        keys[int(number) - 1]: (
            node["class_type"],
            {
                name: [keys[int(value[0]) - 1], value[1]] if isinstance(value, list) else value
                for name, value in node["inputs"].items()
            },
        )
        for number, node in graph.items()
    }
