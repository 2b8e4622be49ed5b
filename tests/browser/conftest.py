"""One Chromium and one ComfyUI for all tests here; without a browser they are skipped."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from dev.base import engine_of_this_python, make_base
from dev.server import Server

from .editor import Editor

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
# Windows knows no such names; the point is that they are shown as they are.
MARKUP = "<img src=x onerror=alert(1)>" if os.name == "posix" else "&lt;b&gt;"


@pytest.fixture(scope="package")
def server() -> Iterator[Server]:
    """A server with LoRAs of the tests' own beside the small models."""
    with tempfile.TemporaryDirectory(prefix="ensemble-browser-", ignore_cleanup_errors=True) as it:
        folder = Path(it)
        loras = folder / "loras"
        loras.mkdir()
        tensors = {"layer.lora_down.weight": torch.ones(2, 3)}
        about = {"modelspec.trigger_phrase": "zed person", "ss_base_model_version": "sd_v1"}
        save_file(tensors, loras / "zed.safetensors", about)
        Image.new("RGB", (64, 64), "orange").save(loras / "zed.png")
        save_file(tensors, loras / f"{MARKUP}.safetensors")
        models = Path(os.environ["ENSEMBLE_BASE"]) / "models"
        base = make_base(folder / "base", models.resolve())
        # Else the browser of templates opens over the graph at the first visit.
        settings = base / "user" / "default" / "comfy.settings.json"
        settings.write_text('{"Comfy.TutorialCompleted": true}')
        with Server(engine_of_this_python(), base, models={"loras": [loras]}) as running:
            yield running


@pytest.fixture(scope="package")
def browser_page(server: Server) -> Iterator[Editor]:
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.skip(f"needs a browser on the PATH: {', '.join(BROWSERS)}")
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=found,
            args=["--no-sandbox", "--disable-background-networking", "--disable-gpu"],
        )
        yield Editor(chromium.new_page(viewport={"width": 1500, "height": 1200}), server.url)
        chromium.close()


@pytest.fixture(params=["canvas", "vue"])
def both(request, browser_page: Editor) -> Iterator[Editor]:
    """An empty graph, in either renderer."""
    yield from fresh(browser_page, request.param)


@pytest.fixture
def editor(browser_page: Editor) -> Iterator[Editor]:
    """An empty graph on the canvas."""
    yield from fresh(browser_page, "canvas")


def fresh(page: Editor, renderer: str) -> Iterator[Editor]:
    page.start(renderer)
    yield page
    assert page.errors == [], "the console has errors of ours"
