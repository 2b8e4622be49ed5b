import json
import re

import pytest
from ensemble_portraits.ensemble.recipes.schedulers import NAMES
from ensemble_portraits.ensemble.recipes.settings import (
    ASTRIA_FLAGS,
    ASTRIA_SETTINGS,
    JSON_FIELDS,
)

from dev.base import ROOT

from .conftest import EXAMPLES
from .settings_table import table

PAGE = (ROOT / "docs" / "recipes.md").read_text()


@pytest.mark.parametrize(
    ("name", "settings", "flags"),
    [
        ("astria settings", ASTRIA_SETTINGS, False),
        ("astria flags", ASTRIA_FLAGS, True),
        ("json fields", JSON_FIELDS, False),
    ],
)
def test_the_page_shows_the_table_the_parsers_read(name, settings, flags):
    shown = PAGE.partition(f"<!-- {name} -->\n")[2].partition("\n<!-- end -->")[0]
    assert shown == table(settings, flags)


def test_no_documented_setting_is_without_a_row():
    keys = set(json.loads((EXAMPLES / "lora_multi.json").read_text()))
    for name in ("multi_person.txt", "masked_portrait.txt"):
        text = (EXAMPLES / name).read_text()
        keys |= {f"--{flag}" for flag in re.findall(r"--(\w+)", text)}
        keys |= set(re.findall(r"(?:^|\s)(\w+)=", text))
    assert len(keys) == 47
    assert [key for key in keys if f"| `{key}` |" not in PAGE] == []


def test_every_scheduler_is_on_the_page():
    assert [name for name in NAMES if name not in PAGE] == []
