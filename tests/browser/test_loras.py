"""MultiLoraLoader's rows and strings are one thing seen twice."""

import pytest

LORAS = "zed,more_details"


def test_strings_become_rows_and_rows_strings(both):
    node = both.add("MultiLoraLoader", loras=LORAS, strengths="1,0.6")
    both.wait_rows(("zed", True, 1), ("more_details", True, 0.6))
    about = both.page.locator(".ensemble-about").first
    about.filter(has_text="sd_v1").get_by_role("button", name="zed person").wait_for()

    both.page.get_by_label("Strength of zed").fill("0.25")
    both.page.keyboard.press("Tab")
    both.wait_rows(("zed", True, 0.25), ("more_details", True, 0.6))
    # Tab goes on within the node.
    assert both.js("document.activeElement.dataset.key") == "clip-zed"
    assert (both.value(node, "loras"), both.value(node, "strengths")) == (LORAS, "0.25,0.6")

    both.page.get_by_label("more_details on").press("Space")
    both.wait_rows(("zed", True, 0.25), ("more_details", False, 0.6))
    assert both.value(node, "strengths") == "0.25,0"
    both.page.get_by_label("more_details on").press("Space")
    both.wait_rows(("zed", True, 0.25), ("more_details", True, 0.6))
    assert both.value(node, "strengths") == "0.25,0.6"

    both.page.locator('[data-key="grip-zed"]').press("ArrowDown")
    both.wait_rows(("more_details", True, 0.6), ("zed", True, 0.25))
    assert both.value(node, "loras") == "more_details,zed"
    # The focus went along.
    assert both.js("document.activeElement.dataset.key") == "grip-zed"

    both.page.get_by_label("Remove more_details").press("Enter")
    both.wait_rows(("zed", True, 0.25))
    assert (both.value(node, "loras"), both.value(node, "strengths")) == ("zed", "0.25")

    both.set(node, "loras", 'zed,"a, b"')
    both.set(node, "strengths", "0.5")
    both.wait_rows(("zed", True, 0.5), ("a, b", True, 0.5))
    both.page.locator('[data-key="grip-a, b"]').press("ArrowUp")
    both.wait_rows(("a, b", True, 0.5), ("zed", True, 0.5))
    assert both.value(node, "loras") == '"a, b",zed'


def test_rows_follow_a_link_that_is_noticed_twice(both):
    node = both.add("MultiLoraLoader", loras=LORAS, strengths="1,0.6")
    both.wait_rows(("zed", True, 1), ("more_details", True, 0.6))
    source = both.add("PrimitiveString", x=700, value="more_details,zed")
    both.link(source, 0, node, "loras")
    both.changed()
    both.wait_rows(("more_details", True, 1), ("zed", True, 0.6))
    both.js("id => { app.graph.getNodeById(id).mode = 2 }", source)
    both.changed()
    both.wait_rows(("zed", True, 1), ("more_details", True, 0.6))


def test_a_lora_is_searched_for_and_added(both):
    node = both.add("MultiLoraLoader", loras="zed")
    both.wait_rows(("zed", True, 1))
    search = both.page.get_by_role("combobox", name="Add a LoRA")
    search.click()
    both.page.keyboard.type("details")
    both.page.locator(".ensemble-choices [role=option]").first.wait_for()
    both.page.keyboard.press("Enter")
    both.wait_rows(("zed", True, 1), ("more_details", True, 1))
    assert both.api()[node]["inputs"]["loras"] == "zed,more_details"


def test_a_file_that_is_new_is_offered_after_some_seconds(editor, server):
    editor.add("MultiLoraLoader")
    search = editor.page.get_by_role("combobox", name="Add a LoRA")
    search.fill("zed")
    options = editor.page.locator(".ensemble-choices [role=option]")
    options.first.wait_for()
    loras = server.base.parent / "loras"
    new = loras / "brand_new.safetensors"
    new.write_bytes((loras / "zed.safetensors").read_bytes())
    try:
        for _ in range(20):
            editor.page.wait_for_timeout(500)
            search.fill("brand_")
            search.fill("brand_new")
            if options.count() and "brand_new" in options.first.inner_text():
                break
        assert "brand_new" in options.first.inner_text()
    finally:
        new.unlink()


def test_quick_keys_act_on_what_the_last_one_did(editor):
    names = [f"n{i}" for i in range(8)]
    node = editor.add("MultiLoraLoader", loras=",".join(names), strengths="1")
    editor.page.locator(".ensemble-row").nth(7).wait_for()
    editor.page.locator('[data-key="grip-n0"]').focus()
    for _ in range(7):
        editor.page.keyboard.press("ArrowDown")
    assert editor.value(node, "loras") == ",".join([*names[1:], "n0"])
    editor.wait_rows(*((name, True, 1) for name in [*names[1:], "n0"]))


def test_a_missing_row_is_mended_by_a_click(editor):
    node = editor.add("MultiLoraLoader", loras="more_detials", strengths="0.6")
    editor.page.get_by_role("button", name="Write more_details instead").click()
    editor.wait_rows(("more_details", True, 0.6))
    assert editor.value(node, "loras") == "more_details"


def test_rows_are_dragged(editor):
    node = editor.add("MultiLoraLoader", loras=LORAS, strengths="1,0.6")
    editor.wait_rows(("zed", True, 1), ("more_details", True, 0.6))
    rows = editor.page.locator(".ensemble-row")
    editor.page.locator('[data-key="grip-more_details"]').drag_to(rows.first)
    editor.wait_rows(("more_details", True, 0.6), ("zed", True, 1))
    assert editor.value(node, "strengths") == "0.6,1"


def test_a_missing_tag_in_the_prompt_is_told(editor):
    node = editor.add("MultiLoraLoader", loras="zed", prompt="x <lora:more_detials> // <lora:none>")
    note = editor.page.locator(".ensemble-notes p")
    note.filter(has_text="more_detials").wait_for()
    assert note.count() == 1
    editor.set(node, "prompt", "x")
    note.wait_for(state="detached")


def test_strings_that_do_not_add_up_are_told(editor):
    editor.add("MultiLoraLoader", loras="zed", strengths="1,2")
    editor.page.locator(".ensemble-notes").filter(has_text="2 numbers for 1 names").wait_for()
    editor.wait_rows(("zed", True, 1))


@pytest.mark.parametrize("leave", ["click elsewhere", "Escape"])
def test_no_list_of_names_stays_behind(editor, leave):
    """An answer that comes late shows nothing, and what is shown goes with its node."""
    node = editor.add("MultiLoraLoader")
    search = editor.page.get_by_role("combobox", name="Add a LoRA")
    search.wait_for()
    editor.page.route("**/ensemble/v1/loras", lambda route: late.append(route))
    late = []
    editor.js(
        "() => { const now = performance.now.bind(performance); performance.now = () => now() + 1e6 }"
    )
    search.click()
    editor.page.keyboard.type("z")
    editor.until(lambda: late)
    if leave == "Escape":
        editor.page.keyboard.press("Escape")
    else:
        editor.page.mouse.click(1100, 200)
    for route in late:
        route.continue_()
    editor.page.unroute("**/ensemble/v1/loras")
    editor.page.wait_for_timeout(500)
    options = editor.page.locator(".ensemble-choices")
    assert options.count() == 0
    search.click()
    options.wait_for()
    editor.js("id => app.graph.remove(app.graph.getNodeById(id))", node)
    options.wait_for(state="detached")


def test_the_same_file_twice_is_told_and_a_row_says_which_it_is(both):
    both.add("MultiLoraLoader", loras="zed,zed.safetensors")
    both.page.locator(".ensemble-warning").filter(has_text="zed.safetensors, 2 times").wait_for()
    about = both.page.locator(".ensemble-about").nth(1)
    about.filter(has_text="zed.safetensors · sd_v1").wait_for()


def test_a_muted_node_looks_muted(both):
    node = both.add("MultiLoraLoader", loras="zed")
    both.wait_rows(("zed", True, 1))
    shown = "getComputedStyle(document.querySelector('[data-ensemble]')).opacity"
    assert both.js(shown) == "1"
    both.js("id => { app.graph.getNodeById(id).mode = 4 }", node)
    both.changed()
    both.page.wait_for_function(f"{shown} < 0.6")


def test_a_row_has_its_picture_trigger_words_and_a_clip_strength(both):
    node = both.add("MultiLoraLoader", loras=LORAS, strengths="1:0.5,0.6")
    both.wait_rows(("zed", True, 1), ("more_details", True, 0.6))
    loaded = "(i => i?.complete && i.naturalWidth)(document.querySelector('.ensemble-thumbnail'))"
    both.page.wait_for_function(loaded)
    assert both.page.locator(".ensemble-thumbnail").count() == 1
    both.page.get_by_title("Put into the prompt: zed person").click()
    assert both.value(node, "prompt") == "zed person"
    both.page.get_by_label("zed in the text encoder").fill("")
    both.page.keyboard.press("Tab")
    both.page.get_by_label("more_details in the text encoder").fill("0.3")
    both.page.keyboard.press("Tab")
    both.until(lambda: both.value(node, "strengths") == "1,0.6:0.3")
    every = both.page.get_by_label("All", exact=True)
    every.click()
    both.wait_rows(("zed", False, 1), ("more_details", False, 0.6))
    assert both.value(node, "strengths") == "0,0"
    every.click()
    both.wait_rows(("zed", True, 1), ("more_details", True, 0.6))
    assert both.value(node, "strengths") == "1,0.6:0.3"


def test_names_used_last_come_first(editor):
    editor.add("MultiLoraLoader")
    search = editor.page.get_by_role("combobox", name="Add a LoRA")
    first = editor.page.locator(".ensemble-choices [role=option] b").first
    for name in ("zed", "more_details"):
        search.click()
        editor.page.keyboard.type(name)
        first.filter(has_text=name).wait_for()
        editor.page.keyboard.press("Enter")
        search.click()
        first.filter(has_text=name).wait_for()
        editor.page.keyboard.press("Escape")
