"""A fresh ComfyUI with the *archive* installed, as a user gets it: nothing is missing, and it works."""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import ensemble_portraits
import pytest
from packaging.requirements import Requirement

from dev.base import PACK_FOLDER, engine_of_this_python, make_base
from dev.client import Client
from dev.server import Server

from ..archive import archive_files, unpack_archive

FILES = archive_files()
STATIC = f"/extensions/{PACK_FOLDER}"


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("archive")
    models = (Path(os.environ["ENSEMBLE_BASE"]) / "models").resolve()
    base = make_base(folder / "base", models, unpack_archive(folder))
    with Server(engine_of_this_python(), base) as running:
        yield running


@pytest.fixture(scope="module")
def client(installed) -> Client:
    return Client(installed.url)


def node_ids() -> list[str]:
    extension = asyncio.run(ensemble_portraits.comfy_entrypoint())
    return [node.GET_SCHEMA().node_id for node in asyncio.run(extension.get_node_list())]


def test_every_node_is_there_with_its_help(client, installed):
    info = client.object_info()
    ids = node_ids()
    assert set(ids) <= set(info) and len(ids) > 15
    for name in ids:
        status, page = client.request("GET", f"{STATIC}/docs/{name}.md")
        assert status == 200 and b"![" in page, name
    assert "IMPORT FAILED" not in installed.log()


def test_what_lies_under_web_is_served(client):
    """Scripts, styles, pictures of the help, and the sample pictures."""
    web = [name.removeprefix("web/") for name in FILES if name.startswith("web/")]
    assert any(name.startswith("samples/") for name in web)
    for name in web:
        assert client.request("GET", f"{STATIC}/{name}")[0] == 200, name


def test_templates_come_with_their_thumbnails(client):
    (names,) = [
        names
        for pack, names in client.get_json("/workflow_templates").items()
        if pack == PACK_FOLDER
    ]
    assert len(names) == 10
    for name in names:
        for suffix, kind in ((".json", b"{"), (".jpg", b"\xff\xd8")):
            path = f"/api/workflow_templates/{PACK_FOLDER}/{name}{suffix}"
            status, body = client.request("GET", path)
            assert status == 200 and body.startswith(kind), path


def test_the_blueprint_and_the_words_are_there(client):
    blueprints = client.get_json("/global_subgraphs").values()
    assert "Finishing" in {each["name"] for each in blueprints}
    assert client.get_json("/i18n")["en"]["nodeDefs"]["BreakRegionalPrompt"]


def test_a_recipe_is_compiled_and_rendered(client):
    small = {"width": 64, "height": 64, "steps": 1, "checkpoint": "small_sd15.safetensors"}
    body = {"text": "a lighthouse seed=3", "skip_missing": True, **small}
    status, compiled = client.post_json("/ensemble/v1/recipes/compile", body)
    assert status == 200, compiled
    run = client.run(compiled["graph"])
    assert run.status == "success", run.error
    assert any(picture.saved for picture in client.pictures(run))


def test_it_requires_nothing_that_comfyui_does_not_bring():
    """So that an install without dependencies works."""
    theirs = (Path(os.environ["COMFYUI_PATH"]) / "requirements.txt").read_text(encoding="utf-8")

    def read(text: str) -> dict[str, str]:
        lines = [line for line in text.splitlines() if line and not line.startswith("#")]
        return {Requirement(line).name.lower(): str(Requirement(line).specifier) for line in lines}

    ours = read((Path(__file__).parents[2] / "requirements.txt").read_text(encoding="utf-8"))
    assert set(ours) <= set(read(theirs))
    # Unpinned: what is there is left as it is.
    assert all(specifier in ("", ">=0.7.1") for specifier in ours.values())
