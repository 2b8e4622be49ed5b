"""BreakRegionalPrompt through POST /prompt: bad input is refused, early and by name."""

import json
from pathlib import Path

import pytest

from dev.client import RefusedError

from .regional_graphs import masks_node, regional


@pytest.mark.parametrize(
    ("text", "more", "needles"),
    [
        (
            "a BREAK BREAK b <lora:nobody:1>",
            {},
            ["nobody", "No file there has a name like it", "aliases.json"],
        ),
        ("a BREAK BREAK b <lora::1>", {}, ["no name"]),
        ("a BREAK BREAK b <lora:849330:nan>", {}, ["nan", "line 1"]),
        ("BREAK", {}, ["nothing but BREAK"]),
        ("a BREAK b <lora:849330:1>", {}, ["common", "BREAK BREAK"]),
        ("a BREAK BREAK b BREAK c", {"order": "1,3"}, ["order", "1,3"]),
        ("a BREAK BREAK b", {"start": 0.6, "end": 0.5}, ["start", "0.6"]),
        ("a BREAK BREAK b", {"method": "fast"}, ["fast", "fused", "exact"]),
        ("a BREAK BREAK b", {"weights": "fast"}, ["weights", "fast", "a1111"]),
        ("a BREAK BREAK b", {"on_missing": "cry"}, ["on_missing", "cry", "skip"]),
    ],
)
def test_bad_text_is_refused_at_the_queue(server, text, more, needles):
    status, answer = server.post(regional(text, more=more))
    assert status == 400
    details = json.dumps(answer["node_errors"]["people"])
    assert all(needle in details for needle in needles), details


def test_an_ambiguous_stem_is_refused_with_both_files(server):
    twin = next(
        name
        for name in server.object_info()["LoraLoader"]["input"]["required"]["lora_name"][0]
        if name.startswith("twins")
    )
    stem = Path(twin).stem
    status, answer = server.post(regional(f"a BREAK BREAK b <lora:{stem}:1>"))
    assert status == 400
    assert "2 files" in json.dumps(answer["node_errors"])


def test_linked_text_gets_the_same_message_before_any_sampling(server):
    graph = regional(links={"text": ["words", 0]})
    graph["words"] = {
        "class_type": "PrimitiveStringMultiline",
        "inputs": {"value": "a BREAK BREAK b <lora:nobody:1>"},
    }
    result = server.run(graph)
    assert result.status == "error"
    assert "nobody" in result.error and "has a name like it" in result.error
    assert "sample" not in result.executed


def test_a_linked_order_is_checked_when_it_arrives(server):
    graph = regional("a BREAK BREAK b BREAK c", links={"order": ["value", 0]})
    graph["value"] = {"class_type": "PrimitiveString", "inputs": {"value": "1,3"}}
    result = server.run(graph)
    assert result.status == "error" and "order" in result.error and "1,3" in result.error


def test_skipping_a_missing_lora_says_so(server):
    result = server.run(
        regional("a BREAK BREAK b <lora:nobody:1>", more={"on_missing": "skip"}, seed=5)
    )
    assert result.status == "success", result.error
    assert any("skipped" in line and "nobody" in line for line in result.outputs["people"]["text"])


@pytest.mark.parametrize(
    ("name", "needle"),
    [("truncated", "incomplete"), ("sdxl", "none of the")],
)
def test_a_useless_file_fails_before_sampling(server, name, needle):
    files = server.object_info()["LoraLoader"]["input"]["required"]["lora_name"][0]
    file = next(f for f in files if f.startswith("bad") and name in f)
    result = server.run(regional(f"a BREAK BREAK b <lora:{file}:1>"))
    assert result.status == "error"
    assert needle in result.error, result.error
    assert "sample" not in result.executed


def test_the_number_of_masks_must_be_one_or_that_of_the_people(server):
    graph = regional("a BREAK BREAK b BREAK c", links={"regions": ["masks", 0]}) | masks_node(3)
    result = server.run(graph)
    assert result.status == "error"
    assert "3 masks" in result.error and "2 people" in result.error
    assert "sample" not in result.executed


def test_refused_graphs_run_nothing(server):
    with pytest.raises(RefusedError):
        server.run(regional("BREAK"))
