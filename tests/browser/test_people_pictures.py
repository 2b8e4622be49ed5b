"""Pictures of people on the chips of BreakRegionalPrompt, and what people do together."""

import os

from PIL import Image

from .test_people import expect


def test_what_people_do_together_has_both_colours(both):
    text = "a BREAK b BREAK a woman BREAK a man BREAK 1+2: dancing <lora:zed>"
    node = both.add("BreakRegionalPrompt", text=text)
    chip = both.chip("together-1-2")
    expect(chip, "dancing")
    expect(chip, "zed 1")
    assert "1+2" in chip.inner_text() and "1+2:" not in chip.inner_text()
    first, second = (
        both.chip(f"person-{number}").evaluate("e => getComputedStyle(e).borderLeftColor")
        for number in (1, 2)
    )
    colours = chip.evaluate(
        "e => [getComputedStyle(e).borderLeftColor, getComputedStyle(e).borderRightColor]"
    )
    assert colours == [first, second] and first != second
    if folder := os.environ.get("ENSEMBLE_SCREENSHOTS"):
        both.page.screenshot(path=f"{folder}/together.png")
    # A box each for the people, and none for what they do.
    # On the canvas it may be below the window.
    both.page.get_by_role("button", name="Draw regions").dispatch_event("click")
    assert both.value(node, "boxes") == "[[0,0,0.5,1],[0.5,0,0.5,1]]"
    chip.locator(".ensemble-chip-head").click()
    selected = both.text_box().evaluate("e => e.value.slice(e.selectionStart, e.selectionEnd)")
    assert selected.strip() == "1+2: dancing <lora:zed>"


DROP = """(chip, name) => new Promise(done => {
    const canvas = Object.assign(document.createElement('canvas'), {width: 8, height: 8})
    canvas.toBlob(blob => {
        const data = new DataTransfer()
        data.items.add(new File([blob], name, {type: 'image/png'}))
        chip.dispatchEvent(new DragEvent('drop', {dataTransfer: data, bubbles: true, cancelable: true}))
        done()
    })
})"""


def test_a_picture_dropped_on_a_person_is_theirs(both):
    text = "a BREAK b BREAK a woman <lora:zed>\nBREAK a man"
    node = both.add("BreakRegionalPrompt", text=text)
    expect(both.chip("person-1"), "zed 1")  # what is dropped on words that are gone is not taken
    both.chip("person-1").evaluate(DROP, "dropped.png")
    picture = both.chip("person-1").locator("img.ensemble-ref")
    picture.wait_for(state="attached")
    written = both.value(node, "text")
    assert written == "a BREAK b BREAK a woman <lora:zed> <ref:dropped.png>\nBREAK a man"
    both.page.wait_for_function("document.querySelector('img.ensemble-ref').naturalWidth === 8")
    both.set(node, "text", written.replace("dropped", "droped"))
    expect(both.chip("person-1").locator(".ensemble-bad"), "missing")
    both.chip("person-1").get_by_role("button", name="Write dropped").click()
    both.chip("person-1").locator("img.ensemble-ref").wait_for(state="attached")
    assert both.value(node, "text") == written.replace("dropped.png", "dropped")
    assert len(both.js("app.graph.nodes.map(node => node.comfyClass)")) == 1


def test_pictures_are_completed_as_loras_are(both, server):
    for name in ("people/zoe.png", "zoltan.png"):
        file = server.base / "input" / name
        file.parent.mkdir(exist_ok=True)
        Image.new("RGB", (8, 8), "blue").save(file)
    node = both.add("BreakRegionalPrompt", text="")
    both.text_box().click()
    keys = both.page.keyboard
    keys.type("a BREAK b BREAK c <ref:zo")
    options = both.page.locator(".ensemble-choices [role=option]")
    options.first.wait_for()
    assert [o.locator("b").inner_text() for o in options.all()] == ["zoe", "zoltan"]
    both.page.wait_for_function(
        "document.querySelector('.ensemble-choices img')?.naturalWidth === 8"
    )
    keys.press("ArrowDown")
    keys.press("Enter")
    assert both.value(node, "text") == "a BREAK b BREAK c <ref:zoltan>"
    both.chip("person-1").locator("img.ensemble-ref").wait_for(state="attached")
    keys.type(" <lora:zed")
    expect(options, "zed")  # each tag lists its own kind
    assert options.count() == 1
