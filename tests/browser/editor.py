"""ComfyUI's editor as the tests see it."""

from collections.abc import Callable
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image

Graph = dict[str, Any]
LIMIT = 120_000
"""Milliseconds; ends a hang, and no more: a busy machine takes a minute to open the editor."""
READY = "window.app && window.app.graph && window.app.canvas && window.app.extensionManager"


class Editor:
    """A page with the editor open; `errors` are those of ours that its console has told."""

    def __init__(self, page: Any, url: str) -> None:
        self.page = page
        self.url = url
        self.errors: list[str] = []
        page.set_default_timeout(LIMIT)
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.errors.append(str(error.stack or error)))
        self.open()

    def _console(self, message: Any) -> None:
        told = f"{message.text} {message.location.get('url', '')}"
        # A recipe that cannot be compiled is answered with 400 or 422, which Chromium logs.
        if "Failed to load resource" in told and told.endswith("/ensemble/v1/recipes/compile"):
            return
        if message.type in ("error", "warning") and "ensemble" in told.lower():
            self.errors.append(told)

    def open(self) -> None:
        self.page.goto(self.url)
        self.page.wait_for_function(READY)
        self.page.wait_for_function("app.extensions.some(e => e.name === 'ensemble.editor')")
        self.page.wait_for_timeout(500)

    def start(self, renderer: str) -> None:
        """An empty graph at 100 %."""
        self.errors.clear()
        self.js(
            "async vue => { await app.extensionManager.setting.set('Comfy.VueNodes.Enabled', vue);"
            " await app.loadGraphData({nodes: [], links: [], version: 0.4});"
            " app.canvas.ds.scale = 1; app.canvas.ds.offset = [0, 0] }",
            renderer == "vue",
        )
        self.page.wait_for_function("app.graph.nodes.length === 0")

    def js(self, code: str, argument: Any = None) -> Any:
        return self.page.evaluate(code if "=>" in code else f"() => {code}", argument)

    def add(self, kind: str, x: int = 120, y: int = 90, **values: Any) -> str:
        """A node of a class with widget values; its id."""
        return self.js(
            "([kind, x, y, values]) => { const node = LiteGraph.createNode(kind);"
            " node.pos = [x, y]; app.graph.add(node); node.size = [480, node.size[1]];"
            " for (const [name, value] of Object.entries(values)) {"
            "  const widget = node.widgets.find(w => w.name === name);"
            "  widget.value = value; if (!widget.element) widget.callback?.(value) }"
            " return String(node.id) }",
            [kind, x, y, values],
        )

    def value(self, node: str, widget: str) -> Any:
        return self.js(
            "([id, name]) => app.graph.getNodeById(id).widgets.find(w => w.name === name).value",
            [node, widget],
        )

    def set(self, node: str, widget: str, value: Any) -> None:
        """As typing into a widget of the canvas does."""
        self.js(
            "([id, name, value]) => { const node = app.graph.getNodeById(id);"
            " const widget = node.widgets.find(w => w.name === name);"
            " widget.value = value; if (!widget.element) widget.callback?.(value) }",
            [node, widget, value],
        )

    def link(self, source: str, slot: int, target: str, name: str) -> None:
        self.js(
            "([a, slot, b, name]) => { const target = app.graph.getNodeById(b);"
            " const at = target.inputs.findIndex(i => i.name === name);"
            " app.graph.getNodeById(a).connect(slot, target, at) }",
            [source, slot, target, name],
        )

    def api(self) -> Graph:
        """The graph as the editor would queue it."""
        return self.js("async () => (await app.graphToPrompt()).output")

    def state(self) -> Graph:
        return self.js("JSON.parse(JSON.stringify(app.graph.serialize()))")

    def changed(self) -> None:
        """As the editor notices after a click or a key that the graph has changed."""
        self.js("app.extensionManager.workflow.activeWorkflow.changeTracker.captureCanvasState()")

    def load(self, workflow: Graph) -> None:
        self.js("async workflow => { await app.loadGraphData(workflow) }", workflow)

    def look_at(self, kind: str) -> None:
        """Full size, with the first node of a kind in view: newer front ends open a graph so small that
        no widget is drawn."""
        self.page.wait_for_function("kind => app.graph.nodes.some(n => n.type === kind)", arg=kind)
        self.page.wait_for_timeout(500)  # the editor fits a new graph into the view first
        self.js(
            "kind => { const node = app.graph.nodes.find(n => n.type === kind);"
            " app.canvas.ds.scale = 1;"
            " app.canvas.ds.offset = [200 - node.pos[0], 100 - node.pos[1]]; app.canvas.setDirty(true, true) }",
            kind,
        )

    def run_command(self, name: str) -> None:
        self.js("name => app.extensionManager.command.execute(name)", name)

    def queue(self, key: str = "") -> dict[str, Any]:
        """Queue the graph by the editor's own command, or a key, wait, and give the history's entry."""
        known = set(self._history())
        if key:
            self.page.keyboard.press(key)
        else:
            self.run_command("Comfy.QueuePrompt")
        for _ in range(LIMIT // 100):
            done = [entry for key, entry in self._history().items() if key not in known]
            if done and done[0]["status"]["completed"] is not None and done[0]["outputs"]:
                return done[0]
            if done and done[0]["status"]["status_str"] == "error":
                return done[0]
            self.page.wait_for_timeout(100)
        raise AssertionError("the queue did not finish in two minutes")

    def _history(self) -> dict[str, Any]:
        return self.js("async () => (await fetch('/history')).json()")

    def drop(self, name: str, kind: str, data: bytes) -> None:
        """A file from the desktop onto the canvas."""
        self.js(
            "([name, kind, data]) => { const transfer = new DataTransfer();"
            " transfer.items.add(new File([new Uint8Array(data)], name, {type: kind}));"
            " app.canvasEl.dispatchEvent(new DragEvent('drop', {dataTransfer: transfer,"
            " bubbles: true, cancelable: true, clientX: 900, clientY: 600})) }",
            [name, kind, list(data)],
        )

    # ---- what we draw ----

    def text_box(self, index: int = 0) -> Any:
        """The n-th text box of the graph's nodes, of either renderer."""
        places = ".dom-widget textarea:visible, [data-node-id] textarea:visible"
        return self.page.locator(places).nth(index)

    def chip(self, key: str) -> Any:
        """`base`, `common` or `person-1` …"""
        return self.page.locator(f'[data-part="{key}"]')

    def rows(self) -> list[tuple[str, bool, float]]:
        return [
            tuple(row)
            for row in self.js(
                "[...document.querySelectorAll('.ensemble-row')].map(row => ["
                "row.querySelector('.ensemble-name').textContent,"
                "row.querySelector('[type=checkbox]').checked,"
                "row.querySelector('[type=number]').valueAsNumber])"
            )
        ]

    def wait_rows(self, *rows: tuple[str, bool, float]) -> None:
        self.until(lambda: self.rows() == list(rows), self.rows)

    def until(self, holds: Callable[[], bool], told: Callable[[], Any] = str) -> None:
        """Wait until it holds; what is `told` explains that it never did."""
        for _ in range(LIMIT // 100):
            if holds():
                return
            self.page.wait_for_timeout(100)
        raise AssertionError(told())


def masks_of(editor: Editor, node: str) -> np.ndarray:
    """Run the node's masks into a saved picture, `[people,H,W]`."""
    checkpoint = editor.add(
        "CheckpointLoaderSimple", x=40, y=700, ckpt_name="small_sd15.safetensors"
    )
    picture = editor.add("MaskToImage", x=700, y=300)
    save = editor.add("SaveImage", x=900, y=300, filename_prefix="boxes")
    editor.link(checkpoint, 0, node, "model")
    editor.link(checkpoint, 1, node, "clip")
    editor.link(node, 4, picture, "mask")
    editor.link(picture, 0, save, "images")
    entry = editor.queue()
    assert entry["status"]["status_str"] == "success", entry["status"]
    pages = []
    for image in entry["outputs"][save]["images"]:
        query = f"filename={image['filename']}&subfolder={image['subfolder']}&type=output"
        data = editor.page.request.get(f"{editor.url}/view?{query}").body()
        pages.append(np.asarray(Image.open(BytesIO(data)).convert("L")) / 255)
    return np.stack(pages)
