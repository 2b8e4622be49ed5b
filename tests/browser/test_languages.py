"""The editor in the languages we bring."""

import json

import pytest

from tests.test_locales import ROOT

from .editor import Editor

TEXT = "a street BREAK BREAK a woman BREAK a man"


def bundle(language: str, name: str) -> dict:
    return json.loads((ROOT / "locales" / language / f"{name}.json").read_text(encoding="utf-8"))


@pytest.fixture
def speak(both: Editor):
    """Opens the editor in a language, and in English again when the test is over."""
    renderer = both.js("app.extensionManager.setting.get('Comfy.VueNodes.Enabled')")

    def open_in(language: str) -> None:
        both.js(
            "async to => { await app.extensionManager.setting.set('Comfy.Locale', to) }", language
        )
        both.page.wait_for_timeout(500)
        both.open()
        both.start("vue" if renderer else "canvas")

    yield open_in
    open_in("en")


@pytest.mark.parametrize("language", ["ja", "zh"])
def test_nodes_and_panels_speak(both: Editor, speak, language):
    speak(language)
    node = both.add("BreakRegionalPrompt", text=TEXT)
    texts = bundle(language, "nodeDefs")["BreakRegionalPrompt"]
    assert both.js("id => app.graph.getNodeById(id).title", node) == texts["display_name"]
    panel = bundle(language, "main")["ensemble"]["people"]
    both.chip("person-2").wait_for()
    assert panel["base"] in both.chip("base").inner_text()
    assert panel["last"]["columns"] in both.chip("person-2").inner_text()
    assert set(both.api()[node]["inputs"]) >= {"text", "negative", "method", "feather"}


def test_german_waits_for_a_front_end_that_offers_it(both: Editor, speak):
    speak("de")
    offered = both.js("app.extensionManager.setting.get('Comfy.Locale')") == "de"
    node = both.add("BreakRegionalPrompt", text=TEXT)
    title = bundle("de" if offered else "en", "nodeDefs")["BreakRegionalPrompt"]["display_name"]
    assert both.js("id => app.graph.getNodeById(id).title", node) == title
    both.chip("base").wait_for()
    word = bundle("de" if offered else "en", "main")["ensemble"]["people"]["base"]
    assert word in both.chip("base").inner_text()
