"""What loading 8 LoRAs costs: MultiLoraLoader against a chain of 8 core LoraLoaders.

    python dev bench lora [--quick] [--json FILE] [--files 8] [--rank 16] [--rounds 9]

The full-size SD1.5 key set (192 layers of the UNet, 72 of CLIP) under kohya's names, random
weights, files in the page cache. Only the nodes' own execution counts: `cold` with core's per-node
files and our cache empty, `changed` after the first file's strength changed, when core runs the
whole chain again. Merging the patches into the weights happens later, is the same for both, and is
measured apart. Runs are interleaved, medians count. Aims: see AIM.
"""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path

import engine

# Ours over core's, set from the first measurement: 0.75 cold, where most of our time is the
# SHA-256 of every file, and 0.3 after a change.
AIM = {"cold": 1.0, "changed": 0.5}
COLUMNS = ["state", "files", "rank", "core_seconds", "ours_seconds", "ours_over_core", "aim"]


def kohya_layers(model, clip) -> dict[str, tuple[int, ...]]:
    """The names a standard kohya LoRA has, and the shapes of the weights they stand for."""
    import comfy.lora
    import comfy.utils

    unet = {key: weight.shape for key, weight in model.model.diffusion_model.state_dict().items()}
    names = comfy.utils.unet_to_diffusers(model.model.model_config.unet_config)
    parts = ("to_q.", "to_k.", "to_v.", "to_out.0.", "ff.net.", "proj_in.", "proj_out.")
    layers = {
        "lora_unet_" + name.removesuffix(".weight").replace(".", "_"): tuple(unet[key])
        for name, key in names.items()
        if name.endswith(".weight") and any(part in name for part in parts)
    }
    text = {key: weight.shape for key, weight in clip.cond_stage_model.state_dict().items()}
    targets = comfy.lora.model_lora_keys_clip(clip.cond_stage_model, {})
    layers |= {name: tuple(text[t]) for name, t in targets.items() if name.startswith("lora_te_")}
    return layers


def write_files(folder: Path, layers: dict[str, tuple[int, ...]], count: int, rank: int) -> list:
    from safetensors.torch import save_file

    names = [f"bench_{index}.safetensors" for index in range(count)]
    for index, name in enumerate(names):
        tensors = engine.lora_of(layers, index, rank, 0.02)
        halves = {key: value.half() for key, value in tensors.items()}
        save_file(halves, folder / name, {"ss_base_model_version": "sd_v1"})
    return names


def load_clip():
    from comfy import sd, sd1_clip
    from comfy.supported_models_base import ClipTarget

    return sd.CLIP(ClipTarget(sd1_clip.SD1Tokenizer, sd1_clip.SD1ClipModel))


class Contest:
    """The same files through both; `seconds` gathers each run's time by state and side."""

    def __init__(self, model, clip, names: list[str]) -> None:
        self.model, self.clip, self.names = model, clip, names
        self.seconds: dict[tuple[str, str], list[float]] = {}
        self.loaders: list = []
        self.patched: dict[str, object] = {}

    def core(self, state: str) -> None:
        import nodes

        if state == "cold":
            self.loaders = [nodes.LoraLoader() for _ in self.names]
        model, clip = self.model, self.clip
        start = time.perf_counter()
        for loader, name, strength in zip(
            self.loaders, self.names, self.strengths(state), strict=True
        ):
            model, clip = loader.load_lora(model, clip, name, strength, strength)
        self._note(state, "core", start, model)

    def ours(self, state: str) -> None:
        from ensemble_portraits.ensemble.lora.cache import TENSORS
        from ensemble_portraits.ensemble.lora.files import read_hashes, read_metadata
        from ensemble_portraits.ensemble.lora.stack import load_stack

        if state == "cold":
            TENSORS.clear()
            read_hashes.cache_clear()
            read_metadata.cache_clear()
        strengths = ",".join(map(str, self.strengths(state)))
        start = time.perf_counter()
        stack = load_stack(self.model, self.clip, ",".join(self.names), strengths, "")
        self._note(state, "ours", start, stack.model)
        report = json.loads(stack.report)["loras"]
        assert all(lora["matched"] == lora["keys"] for lora in report)

    def strengths(self, state: str) -> list[float]:
        return [1.0 if state == "cold" else 0.9] + [0.7] * (len(self.names) - 1)

    def _note(self, state: str, side: str, start: float, model) -> None:
        self.seconds.setdefault((state, side), []).append(time.perf_counter() - start)
        self.patched[side] = model

    def merge_seconds(self, side: str) -> float:
        """Merging the model's patches into its weights, and taking them out again for the next."""
        patcher = self.patched[side]
        start = time.perf_counter()
        patcher.patch_model(device_to=None)  # type: ignore[attr-defined]
        seconds = time.perf_counter() - start
        patcher.unpatch_model(device_to=None)  # type: ignore[attr-defined]
        return seconds


def main(argv: list[str] | None = None) -> None:
    options = engine.options(__doc__, "no merge into the weights")
    options.add_argument("--files", type=int, default=8)
    options.add_argument("--rank", type=int, default=16)
    options.add_argument("--rounds", type=int, default=9)
    asked = options.parse_args(argv)
    engine.load()
    import folder_paths

    model, clip = engine.full_size("sd15"), load_clip()
    with tempfile.TemporaryDirectory() as folder:
        names = write_files(Path(folder), kohya_layers(model, clip), asked.files, asked.rank)
        folder_paths.add_model_folder_path("loras", folder)
        contest = Contest(model, clip, names)
        for _ in range(asked.rounds):
            for state in AIM:
                contest.core(state)
                contest.ours(state)
        rows = rows_of(contest, asked.rank)
        if not asked.quick:
            rows.append(merge_row(contest, asked.rank))
    engine.report(rows, COLUMNS, asked.json)


def rows_of(contest: Contest, rank: int) -> list[dict]:
    rows = []
    for state, aim in AIM.items():
        core, ours = (engine.median(contest.seconds[state, side]) for side in ("core", "ours"))
        rows.append(row(state, contest, rank, core, ours) | {"aim": aim})
    return rows


def merge_row(contest: Contest, rank: int) -> dict:
    times: dict[str, list[float]] = {"core": [], "ours": []}
    for sides in (("core", "ours"), ("ours", "core")) * 2:
        for side in sides:
            times[side].append(contest.merge_seconds(side))
    core, ours = (engine.median(side) for side in times.values())
    return row("merge", contest, rank, core, ours) | {"aim": "none, the same work"}


def row(state: str, contest: Contest, rank: int, core: float, ours: float) -> dict:
    return {
        "state": state,
        "files": len(contest.names),
        "rank": rank,
        "core_seconds": core,
        "ours_seconds": ours,
        "ours_over_core": ours / core,
    }


if __name__ == "__main__":
    main()
