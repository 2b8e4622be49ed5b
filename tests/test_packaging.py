"""What installers, the Manager and the registry see of the pack."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parent.parent
COMFYUI = Path(os.environ["COMFYUI_PATH"])
OPENCVS = (
    "opencv-python",
    "opencv-python-headless",
    "opencv-contrib-python",
    "opencv-contrib-python-headless",
)


@pytest.fixture(scope="module")
def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def test_requirements_are_the_projects_dependencies(project):
    """The Manager installs requirements.txt, pip the dependencies."""
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    assert lines == project["project"]["dependencies"]


def test_the_pack_requires_nothing_that_comfyui_does_not_bring(project):
    """Some hosts install no packages for custom nodes."""
    brought = {
        distribution(line) for line in (COMFYUI / "requirements.txt").read_text().split("\n")
    }
    wanted = {distribution(line) for line in project["project"]["dependencies"]}
    assert wanted <= brought


def distribution(requirement: str) -> str:
    """The name in a line of requirements; "" for a comment."""
    found = re.match(r"[A-Za-z0-9._-]+", requirement)
    return found[0].lower() if found else ""


def test_the_registry_finds_what_it_asks_for(project):
    comfy = project["tool"]["comfy"]
    assert comfy["PublisherId"] and comfy["DisplayName"] == "Ensemble Portraits"
    assert comfy["requires-comfyui"] == ">=0.30.0"
    # `web` beside WEB_DIRECTORY would load every script twice.
    assert "web" not in comfy
    assert re.fullmatch(r"\d+\.\d+\.\d+", project["project"]["version"])
    assert (ROOT / project["project"]["license"]["file"]).is_file()
    assert comfy["Icon"].endswith("/main/docs/icon.png")


def test_the_icon_is_small_enough_for_the_registry():
    from PIL import Image

    with Image.open(ROOT / "docs" / "icon.png") as icon:
        assert icon.format == "PNG" and max(icon.size) <= 400


def test_the_banner_has_the_shape_the_registry_shows(project):
    from PIL import Image

    with Image.open(ROOT / "docs" / "banner.png") as banner:
        assert banner.format == "PNG" and banner.width * 9 == banner.height * 21


def test_the_addresses_are_the_repositorys(project):
    urls, comfy = project["project"]["urls"], project["tool"]["comfy"]
    repository = urls["Repository"]
    assert urls["Documentation"].startswith(repository)
    assert urls["Bug Tracker"] == f"{repository}/issues"
    raw = repository.replace("github.com", "raw.githubusercontent.com") + "/main/"
    for picture in (comfy["Icon"], comfy["Banner"]):
        assert (ROOT / picture.removeprefix(raw)).is_file(), picture


def test_comfyui_takes_every_classifier(project):
    """One that it does not know voids the list."""
    from comfy_config.config_parser import (
        validate_and_extract_accelerator_classifiers,
        validate_and_extract_os_classifiers,
    )

    classifiers = project["project"]["classifiers"]
    assert validate_and_extract_os_classifiers(classifiers) == ["OS Independent"]
    assert len(validate_and_extract_accelerator_classifiers(classifiers)) == 4


def test_the_changelog_has_the_version(project):
    assert f"## {project['project']['version']}" in (ROOT / "CHANGELOG.md").read_text("utf-8")


LOAD = """
import asyncio, gc, importlib.util, json, sys, time
sys.path.insert(0, sys.argv[1])
import comfy.options
comfy.options.enable_args_parsing(False)
from comfy.cli_args import args
args.cpu = True
gc.disable()  # a collection walks all of ComfyUI's objects, whoever's turn it happens to be
started = time.process_time()
import nodes, server
asyncio.run(nodes.init_builtin_extra_nodes())
comfyui = time.process_time() - started
before = set(sys.modules)
started = time.process_time()
spec = importlib.util.spec_from_file_location(
    "pack", sys.argv[2] + "/__init__.py", submodule_search_locations=[sys.argv[2]]
)
pack = sys.modules["pack"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(pack)
listed = asyncio.run(asyncio.run(pack.comfy_entrypoint()).get_node_list())
seconds = time.process_time() - started
new = sorted({name.split(".")[0] for name in set(sys.modules) - before})
print(json.dumps({"share": seconds / comfyui, "new": new, "nodes": len(listed)}))
"""


def load_once() -> dict:
    """Import the pack in a fresh process that has loaded ComfyUI and its own nodes before."""
    answer = subprocess.run(
        [sys.executable, "-c", LOAD, str(COMFYUI), str(ROOT)], capture_output=True, text=True
    )
    assert answer.returncode == 0, answer.stderr
    return json.loads(answer.stdout.splitlines()[-1])


@pytest.mark.long
def test_the_pack_loads_at_once():
    """Its import costs at most 3 % of ComfyUI's own in the same process, in processor time: a slow or busy
    machine slows both. The best of three counts, and no heavy package comes along."""
    first = load_once()
    heavy = {"controlnet_aux", "cv2", "diffusers", "kornia", "skimage", "matplotlib", "pandas"}
    assert not heavy & set(first["new"])
    assert first["nodes"] > 0
    assert first["share"] < 0.03 or min(load_once()["share"] for _ in range(2)) < 0.03


@pytest.fixture(scope="module")
def scratch(tmp_path_factory) -> Path:
    """The Python of a new environment with ComfyUI's requirements and nothing of ours."""
    folder = tmp_path_factory.mktemp("scratch")
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    python = folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    pip(python, "install", "-q", "-r", str(COMFYUI / "requirements.txt"), *constraints())
    return python


def constraints() -> list[str]:
    return ["--constraint", str(ROOT / "dev" / "constraints.txt")]


def pip(python: Path, *arguments: str) -> str:
    command = [str(python), "-m", "pip", *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def versions(python: Path) -> dict[str, str]:
    return {
        item["name"]: item["version"] for item in json.loads(pip(python, "list", "--format=json"))
    }


@pytest.mark.slow
@pytest.mark.parametrize("opencv", OPENCVS)
def test_installing_the_pack_installs_nothing(scratch, opencv):
    """All it requires is what ComfyUI has, at whatever version."""
    pip(scratch, "uninstall", "-q", "-y", *OPENCVS)
    pip(scratch, "install", "-q", opencv)
    before = versions(scratch)
    assert opencv in before
    pip(scratch, "install", "-q", "-r", str(ROOT / "requirements.txt"))
    assert versions(scratch) == before
