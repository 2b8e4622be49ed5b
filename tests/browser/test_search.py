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
    missed = []
    for phrase, kinds in FOUND.items():
        box.fill(phrase)
        editor.page.wait_for_timeout(700)  # the list follows what is typed after a pause
        shown = editor.page.locator("[role=listbox] [role=option]").all_inner_texts()[:READ]
        missed += [
            f"{phrase}: no {kind} in {[text.splitlines()[0] for text in shown]}"
            for kind in kinds
            if not any(titles[kind] in text for text in shown)
        ]
    editor.page.keyboard.press("Escape")
    assert not missed, "\n".join(missed)
