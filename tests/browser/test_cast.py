"""EnsembleCast in the editor: `@ann` completed, and a chip for whom the text names."""

import json

from .test_people import expect

PEOPLE = {
    "ann": {"words": "a woman with red hair", "lora": "zed"},
    "anton": {"words": "a boy"},
    "bob": {"words": "a tall man"},
}


def test_people_of_the_cast_are_completed_and_shown(both):
    node = both.add("EnsembleCast", text="", cast=json.dumps({"people": PEOPLE}))
    box = both.text_box()
    box.click()
    expect(both.page.locator(".ensemble-chips"), "@ann, @anton, @bob")
    box.press_sequentially("a park BREAK BREAK me@ann and @an")
    options = both.page.locator(".ensemble-choices [role=option]")
    expect(options.first, "ann")
    both.page.wait_for_function(
        "document.querySelectorAll('.ensemble-choices [role=option]').length === 2"
    )
    box.press("Tab")
    assert both.value(node, "text") == "a park BREAK BREAK me@ann and @ann"
    box.press_sequentially(" BREAK @bob")
    box.press("Escape")
    chips = both.page.locator("[data-person]")
    expect(chips.nth(1), "@bob")
    assert chips.evaluate_all("all => all.map(each => each.dataset.person)") == ["ann", "bob"]
    tints = chips.evaluate_all(
        "all => all.map(each => each.style.getPropertyValue('--ensemble-tint'))"
    )
    assert tints == ["#d64c4c", "#4ca85c"]
    expect(chips.first, "a woman with red hair <lora:zed:1>")
    box.press_sequentially(", @dora")
    expect(both.page.locator(".ensemble-notes"), "@dora is nobody in the cast")
    assert both.errors == []


def test_a_name_is_completed_in_the_middle_of_itself(editor):
    node = editor.add("EnsembleCast", text="@bx smiling", cast=json.dumps({"people": PEOPLE}))
    box = editor.text_box()
    box.click()
    box.evaluate("box => box.setSelectionRange(2, 2)")
    box.press("Delete")
    editor.page.locator(".ensemble-choices [role=option]").first.wait_for()
    box.press("Enter")
    assert editor.value(node, "text") == "@bob smiling"
