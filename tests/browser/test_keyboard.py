"""The main job without a mouse: from an empty canvas to a picture of three people."""

import json

from .test_people import expect

TEXT = (
    "three friends in a park BREAK photo BREAK a woman <lora:more_details:0.8> "
    "BREAK a man <lora:ohwx_first:1> BREAK a child w=128 h=128 steps=2"
)
STEPS = 120


def tab_to(editor, selector: str, back: bool = False) -> None:
    """Tab, until the focus is on what the selector names."""
    for _ in range(STEPS):
        editor.page.keyboard.press("Shift+Tab" if back else "Tab")
        if editor.js("s => !!document.activeElement?.matches(s)", selector):
            return
    raise AssertionError(f"{STEPS} times Tab never came to {selector}")


def test_three_people_with_boxes_and_loras_by_keyboard_alone(both):
    keys = both.page.keyboard
    both.js("document.activeElement.blur()")
    tab_to(both, "[aria-label^='Paste the prompt text']")
    keys.press("Enter")
    both.page.locator(".ensemble-recipe").wait_for()
    tab_to(both, ".ensemble-recipe textarea")
    keys.press("Control+a")
    keys.type(TEXT)
    tab_to(both, ".ensemble-recipe select")
    keys.type("small_sd15")
    told = both.page.locator(".ensemble-recipe .ensemble-told")
    expect(told, "Person 3")
    both.page.wait_for_function(
        "[...document.querySelectorAll('.ensemble-recipe button')]"
        ".some(b => b.textContent === 'Open as graph' && !b.disabled)"
    )
    tab_to(both, ".ensemble-recipe button:last-of-type")
    keys.press("Enter")
    both.page.wait_for_function("app.graph.nodes.some(n => n.type === 'BreakRegionalPrompt')")
    both.look_at("BreakRegionalPrompt")
    expect(both.chip("person-3"), "a child")
    tab_to(both, "[data-key=boxes]")
    keys.press("Enter")
    tab_to(both, "[data-key=box-2]")
    keys.press("ArrowUp")
    keys.press("Shift+ArrowUp")
    node = both.js("String(app.graph.nodes.find(n => n.type === 'BreakRegionalPrompt').id)")
    boxes = json.loads(both.value(node, "boxes"))
    assert len(boxes) == 3 and boxes[2][3] < 1
    last = both.queue(key="Control+Enter")
    assert last["status"]["status_str"] == "success"
    (queued,) = [
        each["inputs"] for each in last["prompt"][2].values()
        if each["class_type"] == "BreakRegionalPrompt"
    ]  # fmt: skip
    assert json.loads(queued["boxes"]) == boxes and "<lora:more_details" in queued["text"]
    both.run_command("Workspace.ToggleSidebarTab.ensemble.recipe")
