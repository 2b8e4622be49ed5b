"""What the editor's chips say of place_words."""

from ensemble_portraits.ensemble.server.editor.readings import tell_prompt

PROMPT = "a park BREAK photo BREAK a woman <lora:ann:0.8> BREAK a man <lora:ben>"


def test_what_place_words_adds_is_told():
    added = {
        "columns": tell_prompt(text=PROMPT, places="columns", order="2,1"),
        "rows": tell_prompt(text=PROMPT, places="rows"),
        "boxes": tell_prompt(
            text=PROMPT, places="columns", boxes="[[0.1,0.5,0.8,0.5],[0.1,0,0.8,0.5]]"
        ),
        "off": tell_prompt(text=PROMPT),
        "broken": tell_prompt(text=PROMPT, places="columns", order="2,2"),
        "plain": tell_prompt(text="a park", places="columns"),
        "emphasis": tell_prompt(text="a BREAK BREAK a (b:1.2) BREAK [c]", places="columns"),
    }
    assert {name: answer["added"] for name, answer in added.items()} == {
        "columns": "On the right: a woman. On the left: a man.",
        "rows": "At the top: a woman. At the bottom: a man.",
        "boxes": "At the bottom: a woman. At the top: a man.",
        "off": "",
        "broken": "",
        "plain": "",
        "emphasis": "On the left: a b. On the right: c.",
    }
    assert [p["input"] for p in tell_prompt(text=PROMPT, places="here")["problems"]] == ["layout"]
