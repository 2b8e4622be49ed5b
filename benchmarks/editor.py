"""How fast the editor answers typing: a prompt of 20 kB read and painted, LoRA names completed.

    python dev bench editor [--quick] [--json FILE] [--files 2000] [--rounds 30]

A real server with that many LoRA files and headless Chromium, both on this machine. A time runs
from the change of the text to the frame that shows it. `new missing name` is the worst moment of
typing: a name that nobody asked for before is compared with every file's. Aims: see AIM.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from pathlib import Path

import engine

AIM = {"chips": 50.0, "new missing name": 50.0, "completion": 30.0}
KEY_AIM = 16.0
MANY = 30
OWN_WORK = ("ScriptDuration", "LayoutDuration", "RecalcStyleDuration")
COLUMNS = ["what", "median_ms", "worst_ms", "aim_ms"]
PEOPLE, KILOBYTES = 6, 20
SETTINGS = '{"Comfy.TutorialCompleted": true}'
# Chromium as the tests start it.
FLAGS = ["--no-sandbox", "--disable-background-networking", "--disable-gpu"]

# Until the frame after the first change of what `query` finds.
PAINTED = """async ([query, text, kind]) => {
  const node = app.graph.nodes[0]
  const widget = node.widgets.find(w => w.name === 'text')
  const field = widget.element
  const watched = query === 'body' ? document.body : document.querySelector(query)
  const started = performance.now()
  const painted = new Promise((done, failed) => {
    setTimeout(() => failed(new Error(`nothing was painted: ${kind}`)), 20000)
    const observer = new MutationObserver(() => {
      observer.disconnect()
      requestAnimationFrame(() => setTimeout(() => done(performance.now() - started)))
    })
    observer.observe(watched, {childList: true, subtree: kind !== 'completion'})
  })
  if (kind === 'completion') {
    field.focus()
    field.value = text
    field.setSelectionRange(text.length, text.length)
    field.dispatchEvent(new Event('input', {bubbles: true}))
  } else widget.value = text
  return painted
}"""


def write_loras(folder: Path, count: int) -> list[str]:
    import torch
    from safetensors.torch import save_file

    names = []
    for index in range(count):
        name = f"style_{index % 40:02}/person_{index:04}_detailed_v{index % 7}"
        path = folder / f"{name}.safetensors"
        path.parent.mkdir(exist_ok=True)
        about = {"ss_base_model_version": "sd_v1", "modelspec.trigger_phrase": f"ohwx{index}"}
        save_file({"layer.lora_down.weight": torch.ones(2, 3)}, path, about)
        names.append(name)
    return names


def prompt(names: list[str], extra: str) -> str:
    """KILOBYTES of words for PEOPLE with a LoRA each, `extra` in the last one's part."""
    words = "a (wide:1.2) street in the evening, "
    parts = ["", "photo"]
    parts += [f"person {i} <lora:{names[i * 7]}:0.8>" for i in range(PEOPLE)]
    parts[0] = (words * (KILOBYTES * 1000 // len(words) + 1))[: KILOBYTES * 1000]
    return " BREAK ".join(parts) + extra


def measure(page, names: list[str], rounds: int) -> dict[str, list[float]]:
    page.evaluate(
        "async () => { await app.loadGraphData({nodes: [], links: [], version: 0.4});"
        " app.graph.add(LiteGraph.createNode('BreakRegionalPrompt'));"
        " app.canvas.ds.scale = 1; app.canvas.ds.offset = [0, 0] }"
    )
    page.wait_for_timeout(1000)
    times: dict[str, list[float]] = {kind: [] for kind in AIM}
    for index in range(rounds + 2):  # two to warm up
        letters = "abcdefghijklmnopqrstuvwxyz"
        word = letters[index % 26] + letters[(index * 7) % 26]
        for kind, query, text in (
            ("chips", ".ensemble-chips", prompt(names, f" {word}{index}")),
            ("new missing name", ".ensemble-chips", prompt(names, f" <lora:pers{word}{index}:1>")),
            ("completion", "body", prompt(names, f" <lora:person_000{index % 10}")),
        ):
            spent = page.evaluate(PAINTED, [query, text, kind])
            if kind == "completion":
                page.keyboard.press("Escape")
            page.wait_for_timeout(60)
            if index > 1:
                times[kind].append(spent)
    return times


def key_times(page, kind: str, rounds: int) -> list[float]:
    """Milliseconds of the page's main thread for each key typed into the first of MANY nodes."""
    page.evaluate(
        "async ([kind, many]) => { await app.loadGraphData({nodes: [], links: [], version: 0.4});"
        " for (let i = 0; i < many; i++) { const node = LiteGraph.createNode(kind);"
        "  node.pos = [(i % 6) * 520, Math.floor(i / 6) * 900]; app.graph.add(node);"
        "  node.widgets.find(w => w.name === 'text').value ="
        "   'a park BREAK photo BREAK a woman <lora:a:0.8> BREAK a man' }"
        " app.canvas.ds.scale = 1; app.canvas.ds.offset = [0, 0] }",
        [kind, MANY],
    )
    page.wait_for_timeout(2500)
    devtools = page.context.new_cdp_session(page)
    devtools.send("Performance.enable")

    def worked(act) -> float:
        def total() -> float:
            metrics = devtools.send("Performance.getMetrics")["metrics"]
            return sum(m["value"] for m in metrics if m["name"] in OWN_WORK) * 1000

        before = total()
        act()
        page.wait_for_timeout(250)
        return total() - before

    box = page.locator(".dom-widget textarea:visible").first
    box.focus()
    page.keyboard.press("Control+End")
    idle = engine.median([worked(lambda: None) for _ in range(10)])
    keys = [worked(lambda: page.keyboard.press("x")) - idle for _ in range(rounds + 3)]
    return keys[3:]


def list_times(url: str) -> dict[str, float]:
    from dev.client import Client

    found = {}
    for kind in ("first list", "list again"):
        started = time.perf_counter()
        Client(url).get_json("/ensemble/v1/loras")
        found[kind] = (time.perf_counter() - started) * 1000
    return found


def main(argv: list[str] | None = None) -> None:
    options = engine.options(__doc__, "5 rounds")
    options.add_argument("--files", type=int, default=2000)
    options.add_argument("--rounds", type=int, default=30)
    asked = options.parse_args(argv)
    found = next(filter(None, map(shutil.which, ("chromium", "google-chrome"))), None)
    if found is None:
        print("no Chromium on the PATH: not measured")
        engine.report([], COLUMNS, asked.json)
        return
    from playwright.sync_api import sync_playwright

    from dev.base import engine_of_this_python, make_base, prepare_base
    from dev.server import Server

    this = engine_of_this_python()
    models = Path(os.environ.get("ENSEMBLE_BASE") or prepare_base(this)) / "models"
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        loras = Path(folder) / "loras"
        loras.mkdir()
        names = write_loras(loras, asked.files)
        base = make_base(Path(folder) / "base", models.resolve())
        # Else the browser of templates opens over the graph at the first visit.
        (base / "user" / "default" / "comfy.settings.json").write_text(SETTINGS)
        with Server(this, base, models={"loras": [loras]}) as server, sync_playwright() as play:
            rows = [
                {"what": kind, "median_ms": spent, "worst_ms": spent, "aim_ms": "none"}
                for kind, spent in list_times(server.url).items()
            ]
            page = play.chromium.launch(executable_path=found, args=FLAGS).new_page()
            page.goto(server.url)
            page.wait_for_function("window.app && window.app.graph && window.app.canvas")
            page.wait_for_timeout(2500)
            rounds = 5 if asked.quick else asked.rounds
            times = measure(page, names, rounds)
            keys = {
                f"a key, {MANY} nodes": key_times(page, "BreakRegionalPrompt", rounds),
                f"a key, {MANY} nodes of core": key_times(page, "CLIPTextEncode", rounds),
            }
            page.context.browser.close()
    for kind, spent in (times | keys).items():
        median, worst, aim = engine.median(spent), max(spent), AIM.get(kind, KEY_AIM)
        rows.append({"what": kind, "median_ms": median, "worst_ms": worst, "aim_ms": aim})
    engine.report(rows, COLUMNS, asked.json)


if __name__ == "__main__":
    main()
