"""BreakRegionalPrompt in the editor: chips, completion, ways out."""

from .conftest import MARKUP
from .editor import masks_of

PROMPT = "a park BREAK photo BREAK a woman <lora:ohwx_first:0.8> BREAK a man"


def expect(locator, text: str) -> None:
    """Wait until the one element holds the text; zoomed far out, nodes hide what is in them."""
    locator.filter(has_text=text).wait_for(state="attached")


def test_it_loads_with_its_command_and_tab(both):
    both.add("BreakRegionalPrompt")
    both.add("MultiLoraLoader", x=700)
    expect(both.chip("person-2"), "a man")
    assert both.js("app.extensions.filter(e => e.name === 'ensemble.editor').length") == 1
    commands = both.js("app.extensionManager.command.commands.map(c => c.id)")
    assert commands.count("Ensemble.PasteRecipe") == 1
    tabs = both.js("app.extensionManager.getSidebarTabs().map(t => t.id)")
    assert tabs.count("ensemble.recipe") == 1


def test_typing_updates_the_chips(both):
    node = both.add("BreakRegionalPrompt", text="")
    both.text_box().click()
    both.page.keyboard.type(PROMPT)
    both.page.keyboard.press("Escape")
    expect(both.chip("base"), "a park")
    expect(both.chip("common"), "photo")
    expect(both.chip("person-1"), "ohwx_first 0.8")
    expect(both.chip("person-2"), "a man")
    expect(both.chip("person-1"), "left")
    both.set(node, "order", "2,1")
    expect(both.chip("person-1"), "right")
    both.set(node, "layout", "rows")
    expect(both.chip("person-1"), "bottom")
    both.set(node, "boxes", "[[0, 0, 0.5, 1], [0.5, 0, 0.5, 1]]")
    expect(both.chip("person-1"), "left")


def test_what_place_words_adds_stands_in_the_scenes_chip(both):
    node = both.add("BreakRegionalPrompt", text=PROMPT)
    expect(both.chip("person-2"), "a man")
    assert "On the left" not in both.chip("base").inner_text()
    both.set(node, "place_words", True)
    expect(both.chip("base"), "+ On the left: a woman. On the right: a man.")
    both.set(node, "layout", "rows")
    expect(both.chip("base"), "+ At the top: a woman. At the bottom: a man.")
    both.set(node, "place_words", False)
    both.page.wait_for_function(
        "!document.querySelector('[data-part=base]').textContent.includes('At the top')"
    )


def test_the_colours_are_those_of_the_region_preview(editor):
    from ensemble_portraits.ensemble.pose import preview

    editor.add("BreakRegionalPrompt", text=" BREAK ".join("abcdefghij"))
    expect(editor.chip("person-8"), "j")
    for number in range(1, 9):
        tint = editor.chip(f"person-{number}").evaluate("e => getComputedStyle(e).borderLeftColor")
        red, green, blue = preview._TINTS[(number - 1) % len(preview._TINTS)]
        assert tint == f"rgb({red}, {green}, {blue})"


def test_names_are_completed_by_keys(both):
    node = both.add("BreakRegionalPrompt", text="")
    both.text_box().click()
    keys = both.page.keyboard
    keys.type("a BREAK b BREAK c <lora:ohwx")
    options = both.page.locator(".ensemble-choices [role=option]")
    options.first.wait_for()
    assert "sd_v1 · ohwx woman" in options.first.inner_text()
    first, second = (options.nth(i).locator("b").inner_text() for i in (0, 1))
    assert (first, second) == ("ohwx_first", "ohwx_second")
    keys.press("ArrowDown")
    active = both.text_box().get_attribute("aria-activedescendant")
    assert options.nth(1).get_attribute("id") == active
    keys.press("Enter")
    expect(both.chip("person-1"), "ohwx_second 1")
    assert both.value(node, "text") == "a BREAK b BREAK c <lora:ohwx_second:1>"
    keys.type(", smiling")  # typing on leaves the tag whole
    expect(both.chip("person-1"), "c, smiling")
    assert both.value(node, "text") == "a BREAK b BREAK c <lora:ohwx_second:1>, smiling"
    keys.type(" <lora:zed pers")  # a trigger word finds its file
    expect(options, "zed")
    keys.press("Escape")
    assert options.count() == 0
    keys.press("Backspace")
    expect(options, "zed")
    keys.press("Tab")
    assert both.value(node, "text").endswith("<lora:zed:1>")


def test_a_name_within_a_tag_is_replaced_and_its_weight_stays(editor):
    text = "a BREAK b BREAK c <lora:ohwx_fi:0.5>"
    node = editor.add("BreakRegionalPrompt", text=text)
    field = editor.text_box()
    field.evaluate("e => { e.focus(); e.setSelectionRange(28, 28) }")  # behind <lora:ohwx
    editor.page.keyboard.type("_")
    editor.page.locator(".ensemble-choices [role=option]").nth(2).wait_for()
    editor.page.keyboard.press("ArrowDown")
    editor.page.keyboard.press("Enter")
    assert editor.value(node, "text") == "a BREAK b BREAK c <lora:ohwx_second:0.5>"


def test_a_chip_leads_to_its_words(both):
    text = "\U0001f600 a BREAK b BREAK the one <lora:zed> BREAK d"
    both.add("BreakRegionalPrompt", text=text)
    both.chip("person-1").locator(".ensemble-chip-head").click()
    selected = both.text_box().evaluate(
        "e => document.activeElement === e && e.value.slice(e.selectionStart, e.selectionEnd)"
    )
    assert selected.strip() == "the one <lora:zed>"


def test_a_completion_can_be_undone_in_the_text_box(editor):
    editor.add("BreakRegionalPrompt", text="")
    editor.text_box().click()
    editor.page.keyboard.type("x <lora:ze")
    editor.page.locator(".ensemble-choices [role=option]").first.wait_for()
    editor.page.keyboard.press("Enter")
    assert editor.text_box().input_value() == "x <lora:zed:1>"
    editor.page.keyboard.press("Control+z")
    assert editor.text_box().input_value() == "x <lora:ze"


def test_a_missing_lora_is_red_and_mended_by_a_click(both):
    text = "\U0001f600 a BREAK b BREAK c <lora:ohwx_frist:0.7:0.2> BREAK d <lora:twin>"
    node = both.add("BreakRegionalPrompt", text=text)
    bad = both.chip("person-1").locator(".ensemble-lora.ensemble-bad")
    expect(bad, "missing")
    expect(both.chip("person-2").locator(".ensemble-bad"), "several files")
    bad.get_by_role("button", name="Write ohwx_first instead").click()
    expect(both.chip("person-1"), "ohwx_first 0.7 / 0.2")
    both.chip("person-2").locator("button.ensemble-fix").first.press("Enter")
    expect(both.chip("person-2"), "twins/a/twin 1")
    assert both.page.locator(".ensemble-bad").count() == 0
    assert both.value(node, "text") == (
        "\U0001f600 a BREAK b BREAK c <lora:ohwx_first:0.7:0.2> BREAK d <lora:twins/a/twin>"
    )


def test_one_break_is_explained_and_mended(both):
    node = both.add("BreakRegionalPrompt", text="a park BREAK a woman <lora:zed:1>")
    notes = both.page.locator(".ensemble-notes")
    expect(notes, "People start at the third part")
    notes.get_by_role("button").click()
    expect(both.chip("person-1"), "a woman")
    assert both.value(node, "text") == "a park BREAK BREAK a woman <lora:zed:1>"


def test_while_a_tag_is_typed_the_last_reading_stays(editor):
    node = editor.add("BreakRegionalPrompt", text="a BREAK b BREAK c <lora:zed:1>")
    chips = editor.page.locator(".ensemble-chips")
    expect(editor.chip("person-1"), "zed 1")
    editor.set(node, "text", "a BREAK b BREAK c <lora:zed:x>")
    expect(editor.page.locator(".ensemble-notes"), "zed:x")
    assert "ensemble-stale" in chips.get_attribute("class")
    expect(editor.chip("person-1"), "zed 1")
    editor.set(node, "text", "a BREAK b BREAK c <lora:zed:2>")
    expect(editor.chip("person-1"), "zed 2")
    assert "ensemble-stale" not in chips.get_attribute("class")


def test_a_break_without_a_person_is_explained(editor):
    node = editor.add("BreakRegionalPrompt", text="a park BREAK a woman")
    hint = editor.page.locator(".ensemble-chips .ensemble-hint")
    expect(hint, "No person has a part yet")
    hint.get_by_role("button").click()
    expect(editor.chip("person-1"), "a woman")
    assert editor.value(node, "text") == "a park BREAK BREAK a woman"


def test_what_the_last_run_warned_of_is_shown(editor):
    text = "a BREAK b BREAK c <lora:nobody_has_this> BREAK d"
    node = editor.add("BreakRegionalPrompt", text=text, on_missing="skip")
    masks_of(editor, node)
    expect(editor.page.locator(".ensemble-warnings p").first, "Last run: Warning: skipped")


def test_linked_text_is_read_where_it_is_typed(both):
    node = both.add("BreakRegionalPrompt", x=640)
    source = both.add("PrimitiveStringMultiline", x=60, value="a BREAK b BREAK linked")
    both.link(source, 0, node, "text")
    expect(both.chip("person-1"), "linked")
    index = both.js(
        "[...document.querySelectorAll('textarea')].findIndex(e => e.value.includes('linked'))"
    )
    typed = both.page.locator("textarea").nth(index)
    typed.click()
    both.page.keyboard.press("Control+End")
    both.page.keyboard.type(" <lora:ohwx_frist>")
    expect(both.chip("person-1"), "missing")
    both.chip("person-1").locator("button.ensemble-fix").first.click()
    expect(both.chip("person-1"), "ohwx_first 1")
    assert both.value(source, "value") == "a BREAK b BREAK linked <lora:ohwx_first>"
    unknown = both.add("StringConcatenate", x=60, y=500)
    both.link(unknown, 0, node, "text")
    both.changed()
    expect(both.page.locator(".ensemble-chips"), "is read when the graph runs")


def test_comments_are_left_out_and_choices_are_told(editor):
    text = (
        "a park /* no BREAK <lora:none> */ BREAK photo // nor BREAK <lora:none>\n"
        "BREAK a {woman|man} <lora:ohwx_frist>"
    )
    node = editor.add("BreakRegionalPrompt", text=text, negative="ugly // <lora:none>")
    bad = editor.chip("person-1").locator(".ensemble-lora.ensemble-bad")
    expect(bad, "missing")
    expect(editor.page.locator(".ensemble-chips .ensemble-hint"), "one choice of {a|b}")
    assert editor.page.locator(".ensemble-notes p").count() == 0
    bad.get_by_role("button", name="Write ohwx_first instead").click()
    expect(editor.chip("person-1"), "ohwx_first 1")
    assert editor.value(node, "text") == text.replace("frist", "first")
    sent = editor.api()[node]["inputs"]["text"]
    assert sent.split() in (
        f"a park BREAK photo BREAK a {who} <lora:ohwx_first>".split() for who in ("woman", "man")
    )
    # What comes from a text node is sent as it is.
    source = editor.add("PrimitiveStringMultiline", x=700, value="a // b BREAK c BREAK {d|e}")
    editor.link(source, 0, node, "text")
    editor.changed()
    expect(editor.chip("base"), "a // b")
    assert editor.page.locator(".ensemble-chips .ensemble-hint").count() == 0


def test_a_muted_text_node_tells_nothing(editor):
    node = editor.add("BreakRegionalPrompt", text="a BREAK b BREAK mine", x=640)
    source = editor.add("PrimitiveString", x=60, value="a BREAK b BREAK linked")
    editor.link(source, 0, node, "text")
    editor.changed()
    expect(editor.chip("person-1"), "linked")
    for mode in (2, 4):  # muted, bypassed
        editor.js("([id, mode]) => { app.graph.getNodeById(id).mode = mode }", [source, mode])
        editor.changed()
        expect(editor.chip("person-1"), "mine")
        assert editor.api()[node]["inputs"]["text"] == "a BREAK b BREAK mine"
        editor.js("id => { app.graph.getNodeById(id).mode = 0 }", source)
        editor.changed()
        expect(editor.chip("person-1"), "linked")


def test_markup_is_shown_and_never_made(both):
    text = f"<img src=x onerror=alert(1)> BREAK <b>b</b> BREAK {MARKUP.replace('<', '').replace('>', '')}"
    both.page.on("dialog", lambda dialog: both.errors.append(f"a script ran: {dialog.message}"))
    both.add("BreakRegionalPrompt", text=text)
    expect(both.chip("base"), "<img src=x onerror=alert(1)>")
    expect(both.chip("common"), "<b>b</b>")
    both.add("MultiLoraLoader", x=700, loras=f'zed,"{MARKUP}"')
    both.wait_rows(("zed", True, 1), (MARKUP, True, 1))
    both.page.get_by_role("combobox", name="Add a LoRA").fill("img" if "img" in MARKUP else "lt")
    expect(both.page.locator(".ensemble-choices [role=option]"), MARKUP)
    ours = "img:not(.ensemble-thumbnail)"
    made = f".ensemble {ours}, .ensemble-choices {ours}, .ensemble-chip-head span > *"
    assert both.page.locator(made).count() == 0
    both.page.keyboard.press("Escape")


def test_a_person_in_the_common_part_is_doubted_and_mended(both):
    text = "a park BREAK a woman <lora:zed:1> BREAK a man <lora:ohwx_first:1>"
    node = both.add("BreakRegionalPrompt", text=text)
    notes = both.page.locator(".ensemble-notes")
    expect(notes, "only one person follows")
    notes.get_by_role("button").click()
    expect(both.chip("person-2"), "a man")
    assert both.value(node, "text") == text.replace("BREAK a woman", "BREAK BREAK a woman")
    assert both.page.locator(".ensemble-bad").count() == 0
