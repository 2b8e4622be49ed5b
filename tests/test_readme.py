"""What the README says is so elsewhere too: its table of model families, its picture, its files."""

import json
import re

import pytest
from ensemble_portraits.ensemble.regional.families import FAMILIES
from PIL import Image

from dev.cache import ROOT
from dev.release import project

README = (ROOT / "README.md").read_text(encoding="utf-8")
BENCHMARKS = (ROOT / "benchmarks" / "README.md").read_text(encoding="utf-8")
HEADING = "| family | in one pass (`fused`) |"
SHORT = {"Stable Diffusion": "SD1.5", "Stable Diffusion 3": "SD3"}


def rows(text: str) -> list[list[str]]:
    """The cells of the table that the text begins with, without its heading."""
    table = text.split("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table]


TABLE = rows(README[README.index(HEADING) :])


def test_every_family_has_its_row():
    families = " ".join(row[0] for row in TABLE)
    for entry in FAMILIES:
        for name in entry.name.split(" and "):
            assert SHORT.get(name, name) in families, name


@pytest.mark.parametrize("row", TABLE, ids=[row[0] for row in TABLE])
def test_its_prices_were_measured(row):
    measured = BENCHMARKS[BENCHMARKS.index("(`regional`)") : BENCHMARKS.index("(`kinds`)")]
    figures = [float(figure) for figure in re.findall(r"(?<![\d.])\d\.\d\d(?![\d.])", measured)]
    for price in re.findall(r"\d\.\d+", " ".join(row[2:4])):
        digits = len(price.partition(".")[2])
        assert any(f"{figure:.{digits}f}" == price for figure in figures), price


def measured_on_transformers() -> dict[str, tuple[str, str]]:
    """Family -> the prices of two people by `fused` and by core's hooks; a dash where not measured."""
    table = rows(BENCHMARKS[BENCHMARKS.index("| family | people | `plain` |") :])
    prices: dict[str, tuple[str, str]] = {}
    for family, people, _, fused, _, hooks, _ in table:
        if people == "2":
            prices.setdefault(family.split(",")[0], (fused.split()[0], hooks))
    return prices


@pytest.mark.parametrize("family", measured_on_transformers())
def test_a_familys_prices_are_its_own(family):
    (row,) = (row for row in TABLE if family.removesuffix(" Klein 4B") in row[0])
    fused, hooks = measured_on_transformers()[family]
    assert row[2:4] == [fused, "not measured" if hooks == "-" else hooks]


def test_since_is_a_version_of_the_changelog():
    released = re.findall(r"^## (\d+\.\d+\.\d+)", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.M)
    assert project("version") == released[0]
    assert {row[4] for row in TABLE} <= set(released)


def test_its_files_are_there():
    for name in re.findall(r"\]\((?!https?:)([^)#]+)", README):
        assert (ROOT / name).exists(), name


def test_the_picture_carries_its_workflow():
    """With LoRAs of two people, in a graph of nodes that are there."""
    with Image.open(ROOT / "docs" / "two_people.png") as picture:
        graph, workflow = (json.loads(picture.info[key]) for key in ("prompt", "workflow"))
    (text,) = (n["inputs"]["value"] for n in graph.values() if "value" in n["inputs"])
    assert text.count("BREAK") == 3 and text.count("<lora:") == 2
    ours = json.loads((ROOT / "tests" / "contract.json").read_text(encoding="utf-8"))
    kinds = {node["type"] for node in workflow["nodes"]}
    assert {"BreakRegionalPrompt", "PoseControlInput"} <= kinds & set(ours)
