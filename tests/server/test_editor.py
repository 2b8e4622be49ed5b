"""The editor's routes through a real aiohttp application."""

import json
from pathlib import Path
from typing import Any

import folder_paths
import pytest
from ensemble_portraits.ensemble.lora import names
from ensemble_portraits.ensemble.lora.names import ModelNames
from ensemble_portraits.ensemble.server.editor import routes as editor
from ensemble_portraits.ensemble.server.editor.loras import short_names
from hypothesis import given
from hypothesis import strategies as st

from tests.server.asking import call, read

PROMPT = "a park BREAK photo BREAK a woman <lora:ann:0.8> BREAK a man <lora:ben>"
JSON = {"Content-Type": "application/json"}
pytestmark = pytest.mark.usefixtures("machine")


def test_a_prompt_is_told_part_by_part(machine):
    machine("people/ann.safetensors")
    answer = read(text=PROMPT)
    assert [(p["role"], p["number"], p["place"], p["text"]) for p in answer["parts"]] == [
        ("base", None, None, "a park"),
        ("common", None, None, "photo"),
        ("person", 1, 0, "a woman"),
        ("person", 2, 1, "a man"),
    ]
    assert answer["has_break"] and not answer["problems"]
    ann, ben = (part["loras"][0] for part in answer["parts"][2:])
    assert (ann["status"], ann["file"], ann["weight"]) == ("found", "people/ann.safetensors", 0.8)
    assert PROMPT[ann["start"] : ann["end"]] == "<lora:ann:0.8>"
    assert (ben["status"], ben["file"], ben["nearest"]) == ("missing", "", [])


def test_a_persons_picture_is_told(home):
    (home / "input" / "ann.png").write_bytes(b"")
    text = "a \U0001f600 BREAK c BREAK a woman <ref:ann> BREAK a man <ref:anne> BREAK a child"
    people = read(text=text)["parts"][2:]
    ann, anne, nobody = (part["reference"] for part in people)
    assert (ann["status"], ann["file"], ann["name"]) == ("found", "ann.png", "ann")
    units = text.encode("utf-16-le")
    assert units[2 * ann["start"] : 2 * ann["end"]].decode("utf-16-le") == "<ref:ann>"
    assert (anne["status"], anne["nearest"]) == ("missing", ["ann"])
    assert "no file in the input folder" in anne["message"] and nobody is None
    assert people[0]["text"] == "a woman"


def test_an_ambiguous_name_offers_names_that_are_clear(machine):
    machine("a/ann.safetensors")
    machine("b/ann.safetensors")
    (tag,) = read(text="s BREAK BREAK x <lora:ann>")["parts"][2]["loras"]
    assert tag["status"] == "ambiguous"
    assert tag["nearest"] == ["a/ann", "b/ann"]


def test_an_unclosed_tag_is_the_only_mistake():
    text = "a BREAK b BREAK c <lora:ann"
    answer = read(text=text, negative="x BREAK y BREAK z", order="1", boxes="[[0, 0, 1, 1]]")
    assert [problem["input"] for problem in answer["problems"]] == ["text"]
    assert "not closed" in answer["problems"][0]["message"]


def test_damaged_files_are_not_offered(machine):
    machine("annabel.safetensors")
    damaged = machine("annabell.safetensors")
    damaged.write_bytes(b"no header")
    (tag,) = read(text="s BREAK BREAK x <lora:annabelle>")["parts"][2]["loras"]
    assert tag["nearest"] == ["annabel"]


def test_the_same_file_twice_is_told(machine):
    machine("people/ann.safetensors")
    body = {"loras": "ann,people/ann", "strengths": "1", "prompt": "x <lora:ann>"}
    status, answer = call("POST", editor.STACK_PATH, json=body)
    assert status == 200
    (warning,) = answer["warnings"]
    assert "people/ann.safetensors, 3 times" in warning["message"]
    assert not answer["problems"]


def test_places_follow_the_order():
    answer = read(text=PROMPT, order="2,1")
    assert [part["place"] for part in answer["parts"][2:]] == [1, 0]
    answer = read(text=PROMPT, order="2,2")
    assert [part["place"] for part in answer["parts"][2:]] == [None, None]
    assert [problem["input"] for problem in answer["problems"]] == ["order"]


def test_boxes_tell_who_stands_where():
    answer = read(text=PROMPT, order="1,2", boxes="[[0.5, 0, 0.5, 1], [0.1, 0, 0.7, 1]]")
    assert [part["place"] for part in answer["parts"][2:]] == [1, 0]


def test_one_break_is_explained_with_what_mends_it(machine):
    machine("ann.safetensors")
    text = "a park BREAK a woman <lora:ann:1>"
    answer = read(text=text)
    (problem,) = answer["problems"]
    assert "common" in problem["message"] and problem["offset"] == text.index("<lora")
    assert len(answer["parts"]) == 2  # still shown
    at, insert = problem["fix"]["at"], problem["fix"]["insert"]
    mended = read(text=text[:at] + insert + text[at:])
    assert not mended["problems"] and mended["parts"][2]["text"] == "a woman"


def test_a_person_in_the_common_slot_is_doubted_with_what_mends_it(machine):
    machine("ann.safetensors")
    text = "a park BREAK a woman <lora:ann:1> BREAK a man <lora:ann:1>"
    answer = read(text=text)
    (doubt,) = answer["warnings"]
    assert not answer["problems"] and doubt["offset"] == text.index("<lora")
    at, insert = doubt["fix"]["at"], doubt["fix"]["insert"]
    mended = read(text=text[:at] + insert + text[at:])
    assert [part["text"] for part in mended["parts"][2:]] == ["a woman", "a man"]
    assert not mended["warnings"] and not mended["problems"]


@pytest.mark.parametrize(
    "text",
    [
        "a park <lora:ann:1> BREAK photo BREAK a man <lora:ann:1>",  # meant for everyone
        "a park BREAK photo BREAK a man <lora:ann:1>",
        "a BREAK photo <lora:ann:1> BREAK a man BREAK a woman",
    ],
)
def test_other_prompts_are_not_doubted(machine, text):
    machine("ann.safetensors")
    assert read(text=text)["warnings"] == []


@pytest.mark.parametrize(
    ("body", "source"),
    [
        ({"text": "a <lora:ann:x>"}, "text"),
        ({"text": "a BREAK b BREAK c", "negative": "n BREAK BREAK d BREAK e"}, "negative"),
        ({"text": "a BREAK b BREAK c", "boxes": "[[0, 0, 1, 1], [0, 0, 1, 1]]"}, "boxes"),
        (
            {"text": "(a:1" + "0" * 300 + ") " + "(b:1e1)" + "(" * 200, "weights": "comfy"},
            "weights",
        ),
    ],
)
def test_what_the_queue_would_refuse_is_told(body, source):
    assert [problem["input"] for problem in read(**body)["problems"]] == [source]


def test_thousands_of_unknown_tags_are_not_all_compared(machine, monkeypatch):
    looked = []
    monkeypatch.setattr(names, "_nearest", lambda *_: looked.append(1) or ())
    answer = read(text="s BREAK BREAK " + " ".join(f"<lora:x{n}>" for n in range(10_000)))
    tags = answer["parts"][2]["loras"]
    assert len(looked) == 100 and len(tags) == 10_000
    assert [tag["status"] for tag in tags[98:102]] == ["missing"] * 2 + ["unknown"] * 2


def test_offsets_count_as_javascript_does(machine):
    machine("ann.safetensors")
    text = "\U0001f600 park BREAK BREAK \U0001f469 <lora:ann>"
    (tag,) = read(text=text)["parts"][2]["loras"]
    units = text.encode("utf-16-le")
    assert units[2 * tag["start"] : 2 * tag["end"]].decode("utf-16-le") == "<lora:ann>"


def test_offsets_in_the_negative_are_its_own():
    negative = "\U0001f600 ugly BREAK <lora:ann>"
    (problem,) = read(text="a BREAK b BREAK c", negative=negative)["problems"]
    assert problem["offset"] == len("xx ugly BREAK ")


def test_markup_comes_back_as_text():
    text = "<img src=x onerror=alert(1)> BREAK BREAK <b>x</b> <lora:i&b>"
    answer = read(text=text)
    assert answer["parts"][0]["text"] == "<img src=x onerror=alert(1)>"
    assert answer["parts"][2]["loras"][0]["name"] == "i&b"


def stack(**body: str) -> dict[str, Any]:
    status, answer = call("POST", editor.STACK_PATH, json=body)
    assert status == 200, answer
    return answer


def test_a_stack_is_told_row_by_row(machine):
    machine("ann.safetensors")
    machine("a, b.safetensors")
    answer = stack(loras='ann,"a, b",gone', strengths="1,0.6,-0.5", prompt="x <lora:ann:0.3>")
    assert [(r["name"], r["strength"], r["status"]) for r in answer["rows"]] == [
        ("ann", 1.0, "found"),
        ("a, b", 0.6, "found"),
        ("gone", -0.5, "missing"),
    ]
    assert answer["tags"][0]["weight"] == 0.3 and not answer["problems"]


def test_a_stack_that_does_not_add_up_keeps_its_names():
    answer = stack(loras="a,b", strengths="1,2,3")
    assert [row["name"] for row in answer["rows"]] == ["a", "b"]
    assert [problem["input"] for problem in answer["problems"]] == ["strengths"]
    answer = stack(loras='a,"b')
    assert not answer["rows"] and answer["problems"][0]["input"] == "loras"


def test_loras_are_listed_with_what_their_files_say(machine):
    machine("ann.safetensors", **{
        "modelspec.trigger_phrase": "ohwx woman", "ss_base_model_version": "sdxl_base_v1-0",
    })  # fmt: skip
    (machine("ann.safetensors").parent / "torn.safetensors").write_bytes(b"\xff" * 40)
    machine("x/ben.safetensors")
    Path(folder_paths.get_user_directory(), "default", "ensemble", "aliases.json").write_text(
        json.dumps({"loras": {"849330": "ann"}})
    )
    machine("ann.safetensors", **{"modelspec.trigger_phrase": "ohwx woman"})
    status, answer = call("GET", editor.LORAS_PATH)
    assert status == 200 and answer["aliases"] == {"849330": "ann"}
    found = {lora["name"]: lora for lora in answer["loras"]}
    assert set(found) == {"ann", "ben", "torn"}
    assert found["ann"]["triggers"] == ["ohwx woman"]
    assert "torn" in found["torn"]["damaged"] and not found["ann"]["damaged"]


def test_a_file_that_went_while_they_were_listed_is_left_out(machine, monkeypatch):
    machine("ann.safetensors")
    both = ["ann.safetensors", "gone.safetensors"]
    monkeypatch.setattr(folder_paths, "get_filename_list", lambda kind: both)
    assert [lora["name"] for lora in call("GET", editor.LORAS_PATH)[1]["loras"]] == ["ann"]


def test_an_edited_file_is_read_again(machine):
    machine("ann.safetensors", **{"modelspec.trigger_phrase": "one"})
    assert call("GET", editor.LORAS_PATH)[1]["loras"][0]["triggers"] == ["one"]
    machine("ann.safetensors", **{"modelspec.trigger_phrase": "another"})
    assert call("GET", editor.LORAS_PATH)[1]["loras"][0]["triggers"] == ["another"]


def test_a_broken_alias_file_is_told_and_stops_nothing(machine):
    machine("ann.safetensors")
    path = Path(folder_paths.get_user_directory(), "default", "ensemble", "aliases.json")
    path.write_text("{")
    status, answer = call("GET", editor.LORAS_PATH)
    assert status == 200 and "not JSON" in answer["problem"] and len(answer["loras"]) == 1
    answer = read(text=PROMPT)
    assert "not JSON" in answer["problems"][0]["message"] and len(answer["parts"]) == 4


@pytest.mark.parametrize("path", [editor.PROMPT_PATH, editor.STACK_PATH])
@pytest.mark.parametrize(
    ("options", "status"),
    [
        ({"data": b'{"text": "x", "loras": "x"}', "headers": {"Content-Type": "text/plain"}}, 415),
        ({"data": b"{", "headers": JSON}, 400),
        ({"data": b"\xff\xfe", "headers": JSON}, 400),
        ({"data": b"[" * 200_000, "headers": JSON}, 400),
        ({"json": []}, 400),
        ({"json": {}}, 400),
        ({"json": {"text": 1, "loras": 1}}, 400),
        ({"json": {"text": "a", "loras": "a", "more": "b"}}, 400),
        ({"json": {"text": "a" * editor.MAX_BODY, "loras": ""}}, 413),
    ],
)
def test_other_bodies_are_refused(path, options, status):
    got, answer = call("POST", path, **options)
    assert got == status and answer["error"]


segments = st.from_regex(r"[abA]{1,2}(\.[ab])?", fullmatch=True)
file_names = st.lists(
    st.lists(segments, min_size=1, max_size=3).map(lambda parts: "/".join(parts) + ".safetensors"),
    unique=True, max_size=8,
)  # fmt: skip


@given(file_names)
def test_a_short_name_means_its_file(files):
    for file, name in short_names(tuple(files)).items():
        assert ModelNames("loras", files, {}, "").resolve(name) == file


def test_poses_to_begin_with():
    status, answer = call("GET", f"{editor.POSES_PATH}?width=768&height=512")
    assert status == 200 and next(iter(answer["poses"])) == "standing"
    assert [len(bodies) for bodies in answer["poses"].values()] == [1] * 4 + [2] * 5
    assert all(len(body) == 18 for bodies in answer["poses"].values() for body in bodies)
    for wrong in (
        "",
        "?width=768",
        "?width=0&height=9",
        "?width=9e9&height=64",
        "?width=64&height=64&x=1",
    ):
        status, answer = call("GET", editor.POSES_PATH + wrong)
        assert status == 400 and answer["error"], wrong
