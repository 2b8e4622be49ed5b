"""People changed on the chips of BreakRegionalPrompt."""

from .test_people import PROMPT, expect


def test_people_are_added_exchanged_and_removed_without_writing_break(both):
    node = both.add("BreakRegionalPrompt", text="a park", y=20)
    add = both.page.get_by_role("button", name="Add a person")
    add.click()
    expect(both.chip("person-1"), "a person")
    assert both.value(node, "text") == "a park\nBREAK\nBREAK a person"
    both.set(
        node, "text", "a park BREAK photo BREAK a woman <lora:zed> BREAK a man // he\nBREAK a child"
    )
    both.set(node, "negative", "bad BREAK BREAK hat")
    both.set(node, "order", "3,1,2")
    both.set(node, "boxes", "[[0,0,0.3,1],[0.3,0,0.3,1],[0.6,0,0.3,1]]")
    expect(both.chip("person-1"), "\u2212 hat")
    expect(both.chip("person-3"), "right")
    both.page.get_by_role("button", name="Exchange places with person 2").first.click()
    expect(both.chip("person-2"), "a woman")
    # The comment takes its line along, and the man gets the scene's negative, as he had it.
    assert both.value(node, "text") == (
        "a park BREAK photo BREAK a man // he\nBREAK a woman <lora:zed>\nBREAK a child"
    )
    assert both.value(node, "negative").split() == ["bad", "BREAK", "BREAK", "bad", "BREAK", "hat"]
    assert both.value(node, "order") == "3,1,2"
    both.page.get_by_role("button", name="Remove person 1").click()
    expect(both.chip("person-2"), "a child")
    assert both.value(node, "text") == "a park BREAK photo BREAK a woman <lora:zed>\nBREAK a child"
    assert both.value(node, "negative").split() == ["bad", "BREAK", "BREAK", "hat"]
    assert both.value(node, "order") == "2,1"
    assert both.value(node, "boxes") == "[[0.3,0,0.3,1],[0.6,0,0.3,1]]"


def test_what_people_do_together_stays_theirs(both):
    text = "a BREAK b BREAK a woman BREAK a man BREAK a child BREAK <lora:zed> 1+3: dancing BREAK 1+2: hug"
    node = both.add("BreakRegionalPrompt", text=text, y=20)
    expect(both.chip("together-1-3"), "dancing")
    both.page.get_by_role("button", name="Add a person").click()
    expect(both.chip("person-4"), "a person")
    expect(both.chip("together-1-3"), "dancing")  # behind the people, as before
    both.page.get_by_role("button", name="Exchange places with person 2").first.click()
    expect(both.chip("together-2-3"), "dancing")  # the woman and the child, as before
    expect(both.chip("person-2"), "a woman")
    expect(both.chip("together-2-1"), "hug")
    both.page.get_by_role("button", name="Remove person 1").click()
    expect(both.chip("together-1-2"), "dancing")
    assert both.value(node, "text").split(" BREAK ")[-1] == "<lora:zed> 1+2: dancing"
    assert "hug" not in both.value(node, "text")  # nobody is left to do it with


def steady(locator):
    """The box of an element that the panel may still be making anew, once it stays where it is."""
    box = None
    while True:
        locator.page.wait_for_timeout(300)
        before, box = box, locator.bounding_box()
        if box and box == before:
            return box


def test_a_weight_follows_arrow_keys_and_the_pointer(both):
    text = "\U0001f600 BREAK b BREAK c <lora:zed:0.8> <lora:ohwx_first:1:0.5>, end"
    node = both.add("BreakRegionalPrompt", text=text, y=20)
    weight = both.page.get_by_role("spinbutton", name="Weight of zed")
    weight.focus()
    for key in ["ArrowUp"] * 5 + ["Shift+ArrowDown"]:
        both.page.keyboard.press(key)
    assert both.value(node, "text") == text.replace("zed:0.8", "zed:1.04")
    expect(both.chip("person-1"), "zed 1.04")
    assert both.js("document.activeElement.dataset.key") == "weight-person-1-0"
    box = steady(both.page.get_by_role("spinbutton", name="Weight of ohwx_first"))
    mouse = both.page.mouse
    mouse.move(box["x"] + 10, box["y"] + 5)
    mouse.down()
    mouse.move(box["x"] + 10 - 61, box["y"] + 5, steps=5)
    mouse.up()
    expect(both.chip("person-1"), "ohwx_first 0.5")
    assert both.value(node, "text").endswith("<lora:ohwx_first:0.5:0.5>, end")


def test_trigger_words_are_written_behind_their_tag(editor):
    node = editor.add("BreakRegionalPrompt", text="a BREAK b BREAK c <lora:zed:1>, d")
    say = editor.page.get_by_role("button", name="Write its trigger words: zed person")
    say.click()
    expect(editor.chip("person-1"), "zed person, d")
    assert editor.value(node, "text") == "a BREAK b BREAK c <lora:zed:1> zed person, d"
    assert say.count() == 0


def test_the_panel_of_properties_leaves_the_node_as_it_is(both):
    node = both.add("BreakRegionalPrompt", text=PROMPT)
    expect(both.chip("person-2"), "a man")
    width = both.js("document.querySelector('[data-ensemble]').offsetWidth")
    both.page.get_by_role("button", name="Toggle properties panel").click()
    try:
        both.js("id => app.canvas.selectNode(app.graph.getNodeById(id))", node)
        both.page.get_by_role("button", name="Advanced inputs Reset all").click()
        both.page.get_by_text("base_strength").last.wait_for()
        both.page.wait_for_timeout(500)
        assert both.js("document.querySelector('[data-ensemble]').offsetWidth") == width
        assert both.page.get_by_text("ensemble_people").count() == 0
    finally:
        both.page.get_by_role("button", name="Toggle properties panel").last.click()


def test_places_are_counted_as_people_say_them(editor):
    editor.add("BreakRegionalPrompt", text="a BREAK b BREAK c BREAK d BREAK e BREAK f")
    expect(editor.chip("person-2"), "2nd from left")
    expect(editor.chip("person-3"), "3rd from left")
