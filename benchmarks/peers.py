"""Two public packs run beside ours on the same scene, from folders that the command line names.

They do not do the same: FreeFuse masks everybody's LoRA by place under one text for all;
prompt-control's attention couple gives every region its text under all LoRAs merged, on the positive
side only. Neither has negatives or texts and LoRAs per person together, so they are a price tag for
half of the work.
"""

from __future__ import annotations

import contextlib
import importlib
import sys
from pathlib import Path

import engine


def package(folder: str, name: str):
    """The pack in `folder`, imported under a name of ours, without registering anything."""
    if name not in sys.modules:
        # Its nodes want more than its heart, which is all that runs here.
        with contextlib.suppress(ImportError):
            engine.load_module(name, Path(folder) / "__init__.py", Path(folder))
    return name


def freefuse(scene, folder: str):
    """Every LoRA masked by its region, the bias that keeps tokens to their regions as by default."""
    name = package(folder, "peer_freefuse")
    loader = importlib.import_module(f"{name}.freefuse_core.bypass_lora_loader")
    applicator = importlib.import_module(f"{name}.nodes.mask_applicator")
    model, adapters, masks, tokens = scene.patcher, [], {}, {}
    height, width = scene.noise.shape[-2:]
    for i, (lora, mask) in enumerate(zip(scene.loras, scene.weights[1:], strict=True)):
        person = f"person{i}"
        model, _ = loader.load_bypass_lora_for_models_fixed(
            model, None, lora, scene.strengths[i], 0.0, adapter_name=person
        )
        adapters.append({"name": person})
        masks[person] = scene.reduced(mask, height, width)
        tokens[person] = [scene.token_places(i)]
    data = {"adapters": adapters, "token_pos_maps": tokens, "model_type": "sdxl"}
    model = applicator.FreeFuseMaskApplicator().apply_masks(model, {"masks": masks}, data)[0]
    return model, scene.whole_text(), scene.scenes["fused"].negative.conditioning


def prompt_control(scene, folder: str):
    """Attention couple over the base and the people's texts; all LoRAs merged into the weights."""
    name = package(folder, "peer_prompt_control")
    couple = importlib.import_module(f"{name}.prompt_control.attention_couple_ppm")
    model = scene.patcher.clone()
    for i in range(scene.people):
        model.add_patches(scene.parsed(i), scene.strengths[i])
    texts = scene.scenes["fused"]
    entries = []
    for weight, text in zip(
        scene.weights, [texts.base, *[p.positive for p in texts.people]], strict=True
    ):
        [(context, values)] = text.conditioning
        entries.append([context, {**values, "mask": weight[None], "mask_strength": 1.0}])
    positive = couple.set_cond_attnmask([entries[0]], entries[1:], fill=True)
    return model, positive, texts.negative.conditioning
