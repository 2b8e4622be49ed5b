"""MultiLoraLoader: names and strengths as text -> patched model and CLIP, and a report."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, NamedTuple

from .choose import Chosen, OnMissing, choose
from .merge import LoraReport, merge
from .names import name_without_folder

if TYPE_CHECKING:
    from comfy.model_patcher import ModelPatcher
    from comfy.sd import CLIP


class Stack(NamedTuple):
    """`report` is JSON, `summary` a line for each LoRA for people to read."""

    model: "ModelPatcher"
    clip: "CLIP | None"
    prompt: str
    triggers: str
    report: str
    summary: str


def load_stack(
    model: "ModelPatcher",
    clip: "CLIP | None",
    loras: str,
    strengths: str,
    prompt: str,
    on_missing: OnMissing = OnMissing.ERROR,
) -> Stack:
    """Raises ValueError, before anything is loaded where the text is at fault."""
    chosen = choose(loras, strengths, prompt, on_missing)
    merged = merge(model, clip, chosen.choices)
    words = dict.fromkeys(word for lora in merged.report for word in lora.triggers)
    return Stack(
        merged.model,
        merged.clip,
        chosen.prompt,
        ", ".join(words),
        _report(chosen, merged.report),
        _summary(chosen, merged.report),
    )


def _report(chosen: Chosen, loras: tuple[LoraReport, ...]) -> str:
    content = {
        "loras": [asdict(lora) for lora in loras],
        "skipped": [asdict(skipped) for skipped in chosen.skipped],
    }
    return json.dumps(content, indent=2, ensure_ascii=False)


def _summary(chosen: Chosen, loras: tuple[LoraReport, ...]) -> str:
    lines = [
        f"{name_without_folder(lora.file)} at {lora.strength:g}: {lora.matched} of {lora.keys} keys"
        for lora in loras
    ]
    lines += [f"Warning. {lora.warning}" for lora in loras if lora.warning]
    lines += [f"Skipped. {skipped.reason}" for skipped in chosen.skipped]
    return "\n".join(lines) or "No LoRA"
