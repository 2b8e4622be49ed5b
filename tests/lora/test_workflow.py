"""workflows/lora_multi.json and its API form say the same, with what a stranger needs to run it."""

import json
from pathlib import Path

import pytest

WORKFLOWS = Path(__file__).resolve().parents[2] / "workflows"
CONTROL = ("fixed", "randomize", "increment", "decrement")


@pytest.fixture(scope="module")
def api() -> dict:
    return json.loads((WORKFLOWS / "api" / "lora_multi.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def editor() -> dict:
    return json.loads((WORKFLOWS / "lora_multi.json").read_text(encoding="utf-8"))


def test_both_forms_have_the_same_nodes_values_and_links(api, editor):
    titles = {node["id"]: node["title"] for node in editor["nodes"]}
    keys = {node["_meta"]["title"]: key for key, node in api.items()}
    links = {link[0]: (keys[titles[link[1]]], link[2]) for link in editor["links"]}
    found = {}
    for node in editor["nodes"]:
        if node["type"] == "MarkdownNote":
            continue
        values = [value for value in node["widgets_values"] if value not in CONTROL]
        inputs = {}
        for slot in node["inputs"]:
            value = values.pop(0) if "widget" in slot else None
            if slot["link"] is not None:
                inputs[slot["name"]] = list(links[slot["link"]])
            elif "widget" in slot:
                inputs[slot["name"]] = value
        assert not values, node["title"]
        found[keys[node["title"]]] = (node["type"], inputs)
    assert found == {key: (node["class_type"], node["inputs"]) for key, node in api.items()}


def test_every_named_file_is_listed_with_its_link(api, editor):
    listed = {
        model["name"]: model
        for node in editor["nodes"]
        for model in node["properties"].get("models", [])
    }
    stems = {name.removesuffix(".safetensors") for name in listed}
    wanted = {api["checkpoint"]["inputs"]["ckpt_name"].removesuffix(".safetensors")}
    wanted |= set(api["loras"]["inputs"]["loras"].split(","))
    assert stems == wanted
    (note,) = (node for node in editor["nodes"] if node["type"] == "MarkdownNote")
    for model in listed.values():
        assert model["url"].startswith("https://") and model["url"].endswith(model["name"])
        assert model["url"] in note["widgets_values"][0]
    assert "<lora:my_file:0.8>" in note["widgets_values"][0]
