"""English is complete: every string the editor shows has a key, and every key is used.

locales/en/nodeDefs.json is written from the nodes' schemas: ENSEMBLE_UPDATE_LOCALES=1 does it. The other
languages are watched by test_translations.py.
"""

import json
import os
import re
from pathlib import Path

import pytest

from tests.test_schema import NODES

ROOT = Path(__file__).resolve().parent.parent
ENGLISH = ROOT / "locales" / "en"
SCRIPTS = [ROOT / "web" / "ensemble.js", *sorted((ROOT / "web" / "js").glob("*.js"))]


def read(name: str) -> dict:
    return json.loads((ENGLISH / f"{name}.json").read_text(encoding="utf-8"))


def message(text: str) -> str:
    """A text as the editor's translator (vue-i18n) takes it: what it would read as syntax, quoted."""
    return re.sub(r"[{}@|]", lambda found: f"{{'{found[0]}'}}", text)


def definition(node) -> dict:
    schema = node.GET_SCHEMA()
    inputs = {
        each.id: {"name": message(each.display_name or each.id), "tooltip": message(each.tooltip)}
        for each in schema.inputs
    }
    outputs = {
        str(index): {
            "name": message(each.display_name or each.id or each.get_io_type()),
            "tooltip": message(each.tooltip),
        }
        for index, each in enumerate(schema.outputs)
    }
    return {
        "display_name": message(schema.display_name),
        "description": message(schema.description),
        "inputs": inputs,
        "outputs": outputs,
    }


def test_every_string_of_every_node_has_its_key():
    expected = {node_id: definition(node) for node_id, node in sorted(NODES.items())}
    path = ENGLISH / "nodeDefs.json"
    if os.environ.get("ENSEMBLE_UPDATE_LOCALES"):
        text = json.dumps(expected, indent=1, ensure_ascii=False) + "\n"
        path.write_text(text, encoding="utf-8")
    elif not path.exists() or read("nodeDefs") != expected:
        pytest.fail("nodes have changed: run with ENSEMBLE_UPDATE_LOCALES=1 and commit the file")


def leaves(texts: dict, prefix: str = "") -> dict[str, str]:
    found: dict[str, str] = {}
    for key, value in texts.items():
        found |= (
            leaves(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
        )
    return found


def asked_for() -> list[str]:
    """The keys in t('…') and t(`…${…}`), the latter as patterns."""
    source = "\n".join(path.read_text(encoding="utf-8") for path in SCRIPTS)
    keys = [re.escape(key) for key in re.findall(r"\bt\('([^']+)'", source)]
    for template in re.findall(r"\bt\(`([^`]+)`", source):
        pieces = re.split(r"\$\{[^}]+\}", template)
        keys.append(r"\w+".join(map(re.escape, pieces)))
    return keys


def test_the_scripts_find_every_key_and_use_all():
    known = leaves(read("main")["ensemble"])
    asked = asked_for()
    assert len(asked) > 30
    for pattern in asked:
        assert any(re.fullmatch(pattern, key) for key in known), f"no text for {pattern}"
    unused = [key for key in known if not any(re.fullmatch(p, key) for p in asked)]
    assert not unused


def test_commands_have_their_key():
    source = "\n".join(path.read_text(encoding="utf-8") for path in SCRIPTS)
    ids = set(re.findall(r"id: '(Ensemble\.\w+)'", source))
    assert ids and {key.replace(".", "_") for key in ids} == set(read("commands"))
    label = leaves(read("main")["ensemble"])["recipe.command"]
    assert read("commands")["Ensemble_PasteRecipe"]["label"] == label
