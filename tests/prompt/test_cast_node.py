import json

import pytest
from ensemble_portraits.nodes.cast import EXAMPLE, EnsembleCast

CAST = json.dumps({"people": {"ann": {"words": "a woman", "lora": "ann", "negative": "glasses"}}})


def test_prompt_negative_and_names():
    text = "a park BREAK BREAK @ann smiling"
    found = EnsembleCast.execute(text=text, negative="blurry", cast=CAST).args
    assert found[0] == "a park BREAK BREAK a woman <lora:ann:1> smiling"
    assert found[1].endswith("blurry, glasses")
    assert found[2] == "ann"


def test_the_queue_says_what_is_wrong():
    assert EnsembleCast.validate_inputs("@ann", "", CAST) is True
    assert EnsembleCast.validate_inputs(None, None, None) is True
    assert EnsembleCast.validate_inputs("", "", EXAMPLE) is True
    assert "nobody in the cast" in EnsembleCast.validate_inputs("@bob", "", CAST)
    assert "not JSON" in EnsembleCast.validate_inputs("@ann", "", "{")


def test_an_empty_cast_is_the_alias_file(monkeypatch):
    from ensemble_portraits.ensemble.lora import aliases
    from ensemble_portraits.nodes import cast

    people = {"bea": {"words": "a girl", "faces": "bea.png"}}
    for module in (aliases, cast):
        monkeypatch.setattr(module, "read_aliases", lambda: aliases.Aliases("", {}, people))
    assert EnsembleCast.execute(text="@bea", negative="", cast=" ").args[0] == "a girl"
    before = EnsembleCast.fingerprint_inputs("@bea", "", "")
    people["bea"] = {"words": "a woman"}
    assert EnsembleCast.fingerprint_inputs("@bea", "", "") != before


@pytest.mark.parametrize("cast", [CAST, ""])
def test_linked_inputs_are_checked_when_they_run(cast):
    assert EnsembleCast.validate_inputs(None, None, cast) is True
