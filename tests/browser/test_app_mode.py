"""App mode shows the inputs that a template chose."""

import json

import pytest

from dev.templates import WORKFLOWS, extras

from .editor import Editor

COMMAND = "Comfy.ToggleLinear"


@pytest.mark.parametrize("name", [name for name, about in extras().items() if "app" in about])
def test_app_mode_of_a_template(editor: Editor, name):
    known = editor.js("app.extensionManager.command.commands.map(each => each.id)")
    if COMMAND not in known:
        pytest.skip("this front end has no app mode")
    editor.load(json.loads((WORKFLOWS / f"{name}.json").read_text(encoding="utf-8")))
    editor.run_command(COMMAND)
    try:
        for _, widget in extras()[name]["app"]["inputs"]:
            shown = editor.page.get_by_text(widget, exact=True).locator("visible=true")
            shown.first.wait_for()
    finally:
        editor.run_command(COMMAND)
    kept = editor.state()["extra"]["linearData"]
    assert len(kept["inputs"]) == len(extras()[name]["app"]["inputs"])
    assert len(kept["outputs"]) == 1
