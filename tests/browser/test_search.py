"""The node search of the editor finds our nodes by the words people use."""

from tests.live.test_search import FOUND

from .editor import Editor

READ = 10
"""How many results are looked through."""


def test_the_search_box_offers_our_nodes(editor: Editor):
    titles = {
        kind: editor.js("kind => LiteGraph.createNode(kind).title", kind)
        for kinds in FOUND.values()
        for kind in kinds
    }
    editor.run_command("Workspace.SearchBox.Toggle")
    box = editor.page.locator("input[role=combobox]:visible").last
    options = editor.page.locator("[role=listbox] [role=option]")
    for phrase, kinds in FOUND.items():
        wanted = [titles[kind] for kind in kinds]
        box.fill(phrase)
        # The list follows what is typed after a pause.
        editor.until(
            lambda: all(any(w in text for text in first(options)) for w in wanted),  # noqa: B023
            lambda: f"{phrase}: not all of {wanted} in {first(options)}",  # noqa: B023
        )
    editor.page.keyboard.press("Escape")


def first(options) -> list[str]:
    return options.all_inner_texts()[:READ]
