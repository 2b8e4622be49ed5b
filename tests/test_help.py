"""Help pages: a picture each, small enough to be shipped, none left over."""

import json
import re
from pathlib import Path

import pytest

PAGES = sorted((Path(__file__).resolve().parent.parent / "web" / "docs").glob("*.md"))
PICTURES = re.compile(r"!\[([^\]]*)\]\(([^)]+)\)")
LARGEST = 200_000


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_has_pictures_that_are_there_and_told_in_words(page):
    shown = PICTURES.findall(page.read_text(encoding="utf-8"))
    assert shown, "no picture"
    for words, file in shown:
        assert words
        assert (page.parent / file).stat().st_size <= LARGEST


def test_no_picture_is_left_over():
    shown = {
        file for page in PAGES for _, file in PICTURES.findall(page.read_text(encoding="utf-8"))
    }
    there = {path.name for path in PAGES[0].parent.iterdir() if path.suffix in (".png", ".jpg")}
    assert there == shown


def test_a_page_names_every_input():
    locales = PAGES[0].parents[2] / "locales" / "en" / "nodeDefs.json"
    for node, about in json.loads(locales.read_text(encoding="utf-8")).items():
        page = (PAGES[0].parent / f"{node}.md").read_text(encoding="utf-8")
        missing = [key for key in about.get("inputs", {}) if not re.search(rf"\b{key}\b", page)]
        assert not missing, f"{node}: {missing}"
