"""What the editor is told of a cast."""

import json
from pathlib import Path

import folder_paths
from ensemble_portraits.ensemble.server.editor import routes as editor

from tests.server.asking import call

CAST = json.dumps({"people": {"ann": {"words": "a woman", "lora": "x"}, "bob": {}}})


def ask(**body):
    status, answer = call("POST", editor.CAST_PATH, json=body)
    assert status == 200
    return answer


def test_who_is_named_where_and_in_whose_part():
    text = "😀 @bob BREAK BREAK @ann smiling BREAK a man, @Ann \\@ann"
    answer = ask(text=text, cast=CAST)
    assert answer["people"][0] == {"name": "ann", "text": "a woman <lora:x:1>"}
    assert [(each["name"], each["number"]) for each in answer["named"]] == [
        ("bob", None), ("ann", 1), ("ann", 2),
    ]  # fmt: skip
    units = text.encode("utf-16-le")
    first = answer["named"][0]
    assert units[2 * first["start"] : 2 * first["end"]].decode("utf-16-le") == "@bob"
    assert answer["problems"] == []


def test_what_is_wrong_is_told_with_its_input():
    (problem,) = ask(text="a BREAK BREAK @anne", cast=CAST)["problems"]
    assert problem["input"] == "text" and problem["offset"] == 14
    assert "near: @ann" in problem["message"]
    (problem,) = ask(text="@ann", cast="{")["problems"]
    assert problem["input"] == "cast"
    (problem,) = ask(text="", negative="@anne", cast=CAST)["problems"]
    assert problem["input"] == "negative"


def test_an_empty_cast_is_the_alias_file_s(tmp_path, monkeypatch):
    monkeypatch.setattr(folder_paths, "user_directory", str(tmp_path))
    path = Path(tmp_path, "default", "ensemble", "aliases.json")
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"people": {"cleo": {"words": "a queen"}}}))
    answer = ask(text="@cleo", cast="")
    assert answer["people"] == [{"name": "cleo", "text": "a queen"}]
    assert answer["named"][0]["name"] == "cleo"


def test_a_recipe_of_the_api_has_its_people_in_place_or_says_who_is_nobody():
    from ensemble_portraits.ensemble.server.editor.compile import (
        compile_body,
        read_asked,
        read_request,
    )

    people = {"ann": {"words": "a woman", "lora": "x", "negative": "glasses"}}
    body = {"text": "a park BREAK photo BREAK @ann smiling", "cast": {"people": people}}
    recipe = read_asked(read_request(body), body["text"]).require()
    assert recipe.prompt.endswith("BREAK a woman <lora:x:1> smiling")
    assert "glasses" in recipe.negative
    status, answer = compile_body({**body, "text": "a park BREAK photo BREAK @anne smiling"})
    assert status == 400
    (problem,) = answer["problems"]
    assert problem["offset"] == 25 and "near: @ann" in problem["text"]
    twice = {"people": {"ann": {}, "Ann": {}}}
    status, answer = compile_body({**body, "cast": twice})
    assert status == 400 and "two people of one name" in answer["error"]
