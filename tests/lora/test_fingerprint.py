"""Both nodes that read LoRAs by name run again when one of those files was edited."""

import os

import pytest
from ensemble_portraits.nodes.lora import MultiLoraLoader
from ensemble_portraits.nodes.regional import BreakRegionalPrompt

NODES = {
    "BreakRegionalPrompt": lambda text: BreakRegionalPrompt.fingerprint_inputs(text=text),
    "MultiLoraLoader": lambda text: MultiLoraLoader.fingerprint_inputs(None, prompt=text),
}


@pytest.fixture(params=NODES)
def fingerprint(request):
    """The fingerprint of a node for a text; None is a text that is linked in."""
    return NODES[request.param]


def test_an_edited_file_counts_where_a_typed_text_names_it(fingerprint, save):
    path, other = save("mine.safetensors"), save("other.safetensors")
    text = "a park BREAK BREAK a woman <lora:mine:1>"
    before = fingerprint(text)
    os.utime(other, ns=(7, 7))
    assert fingerprint(text) == before
    os.utime(path, ns=(7, 7))
    assert fingerprint(text) != before


def test_any_edited_file_counts_where_the_text_is_linked_in(fingerprint, save):
    path = save("mine.safetensors")
    before = fingerprint(None)
    assert fingerprint(None) == before
    os.utime(path, ns=(7, 7))
    assert fingerprint(None) != before


def test_a_missing_file_that_is_there_at_last_counts(fingerprint, save):
    text = "a park BREAK BREAK a woman <lora:late:1>"
    before = fingerprint(text)
    save("late.safetensors")
    assert fingerprint(text) != before


@pytest.mark.parametrize("linked", ["loras", "prompt"])
def test_any_input_that_is_linked_in_may_name_any_file(linked, save):
    texts = {"loras": "mine", "prompt": "a woman", linked: None}
    save("mine.safetensors")
    other = save("other.safetensors")
    before = MultiLoraLoader.fingerprint_inputs(None, **texts)
    os.utime(other, ns=(7, 7))
    assert MultiLoraLoader.fingerprint_inputs(None, **texts) != before


def test_the_names_themselves_count(save):
    save("mine.safetensors")
    one, two = (MultiLoraLoader.fingerprint_inputs(None, loras=n) for n in ("peft", "peft,mine"))
    assert one != two
