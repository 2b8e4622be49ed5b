"""The README's table of model families says nothing that is not so elsewhere."""

import re

import pytest
from ensemble_portraits.ensemble.regional.families import FAMILIES

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


def test_since_is_a_version_of_the_changelog():
    released = re.findall(r"^## (\d+\.\d+\.\d+)", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.M)
    assert project("version") == released[0]
    assert {row[4] for row in TABLE} <= set(released)
