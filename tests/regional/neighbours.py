"""How core's nodes are found and run beside BreakRegionalPrompt; the table is in neighbour_table.py."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

import comfy.samplers
import tiny
import torch

import nodes  # ComfyUI's


class Verdict(str, Enum):
    EQUAL = "equal"
    """To the same node on a graph with core's LoraLoader in place of ours."""
    REFUSED = "refused"
    SAID = "said"
    """Otherwise, with a line on the node."""
    EXPLAINED = "explained"
    """Otherwise, as the table says."""
    OTHER = "other"
    """For models that have exact alone: every person has entries of their own, to each of which the
    node does what it does to any."""


@dataclass(frozen=True)
class Neighbour:
    """inputs: those that are not the node's defaults. fused, exact: verdicts. why: for the table."""

    inputs: Mapping[str, object] | Callable[[], Mapping[str, object]] = field(default_factory=dict)
    fused: Verdict = Verdict.EQUAL
    exact: Verdict = Verdict.EQUAL
    why: str = ""
    batch: int = 2
    before: Verdict | None = None
    """Of a node that patches a model, where it comes before ours; None: as after it."""

    def verdict(self, method: str, where: str = "after") -> Verdict:
        if where == "before" and self.before is not None:
            return self.before
        return self.fused if method == "fused" else self.exact


def core_nodes() -> dict[str, type]:
    """Every node of this ComfyUI, its extra ones included."""
    if "FreeU" not in nodes.NODE_CLASS_MAPPINGS:
        asyncio.run(nodes.init_builtin_extra_nodes())
    found = nodes.NODE_CLASS_MAPPINGS  # where other tests put ours, too
    return {n: node for n, node in found.items() if "ensemble_portraits" not in node.__module__}


def input_types(node: type) -> dict[str, tuple]:
    declared = node.INPUT_TYPES()
    return {**declared.get("required", {}), **declared.get("optional", {})}


def kind_of(node: type) -> str | None:
    """ "model", "conditioning" or "guider" of a node that patches or changes one; None of others."""
    inputs = [value[0] for value in input_types(node).values()]
    outputs = list(node.RETURN_TYPES)
    if "MODEL" in inputs and "MODEL" in outputs:
        return "model"
    if "MODEL" in inputs and "GUIDER" in outputs:
        return "guider"
    if "CONDITIONING" in inputs and "CONDITIONING" in outputs:
        return "conditioning"
    return None


def call(name: str, **given):
    """The node's outputs, with its defaults for what is not given."""
    node = core_nodes()[name]
    inputs = {}
    for key, (kind, *more) in input_types(node).items():
        options = more[0] if more else {}
        if key in given:
            inputs[key] = given[key]
        elif isinstance(kind, list):
            inputs[key] = options.get("default", kind[0] if kind else None)
        elif kind == "COMBO":
            inputs[key] = options.get("default", options.get("options", [None])[0])
        elif "default" in options:
            inputs[key] = options["default"]
        elif kind in ("FLOAT", "INT"):
            inputs[key] = 0
        elif key in node.INPUT_TYPES().get("required", {}):
            raise KeyError(f"{name} needs {key} ({kind})")
    result = getattr(node(), node.FUNCTION)(**inputs)
    return getattr(result, "result", result)


def other_text() -> list:
    return tiny.text(5, 77, 64).conditioning


def patched(name: str, patcher, inputs: Mapping[str, object]):
    """A MODEL after the node."""
    types = input_types(core_nodes()[name])
    given = dict(inputs)
    for key, (kind, *_) in types.items():
        if kind == "MODEL" and key not in given:
            given[key] = tiny.model(seed=5) if key == "model2" else patcher
        if kind == "CONDITIONING" and key not in given:
            given[key] = other_text()
    return call(name, **given)[0]


def changed(name: str, positive: list, negative: list, inputs: Mapping[str, object]):
    """Both conditionings after the node: one call of a node with two sides, else one for each."""
    types = input_types(core_nodes()[name])
    sides = [key for key, (kind, *_) in types.items() if kind == "CONDITIONING"]
    ours = {"positive": positive, "negative": negative}
    for new in ("_NEW", "_A"):
        ours |= {f"positive{new}": positive, f"negative{new}": negative}
    if "positive" in sides or any(side in ours for side in sides):
        first = [s for s in sides if s in ours]
        if len(first) > 2:  # the first pair is another's, the second ours
            first = first[2:] if name.endswith("AndCombine") else first[:2]
        given = {s: ours[s] if s in first else other_text() for s in sides}
        out = call(name, **given, **inputs)
        return (out[0], out[1]) if len(out) > 1 and isinstance(out[1], list) else (out[0], negative)
    out = []
    for mine in (positive, negative):
        given = {side: mine if i == 0 else other_text() for i, side in enumerate(sides)}
        out.append(call(name, **given, **inputs)[0])
    return tuple(out)


def guided(name: str, patcher, positive: list, negative: list, inputs: Mapping[str, object]):
    """The latent by the node's guider."""
    names = {
        "model": patcher, "model_negative": patcher, "positive": positive, "cond1": positive,
        "conditioning": positive, "negative": negative, "cond2": positive,
        "empty_conditioning": other_text(),
    }  # fmt: skip
    wanted = input_types(core_nodes()[name])
    given = {key: value for key, value in names.items() if key in wanted and key not in inputs}
    guider = call(name, **given, **inputs)[0]
    noise = torch.randn(2, 4, 8, 12, generator=torch.Generator().manual_seed(3))
    sigmas = comfy.samplers.calculate_sigmas(patcher.model.model_sampling, "normal", 2)
    sampler = comfy.samplers.sampler_object("euler")
    return guider.sample(noise, torch.zeros_like(noise), sampler, sigmas, disable_pbar=True, seed=3)


def sampled(
    kind: str, name: str, run: tuple, inputs: Mapping[str, object], batch: int = 2
) -> torch.Tensor:
    """The latent of (model, positive, negative) after the node."""
    model, positive, negative = run
    if kind == "guider":
        return guided(name, model, positive, negative, inputs)
    if kind == "model":
        model = patched(name, model, inputs)
    else:
        positive, negative = changed(name, positive, negative, inputs)
    return tiny.sample(model, positive, negative, batch=batch, steps=2)


class Words:
    """A CLIP for nodes that encode a text of their own."""

    def tokenize(self, text: str) -> str:
        return text

    def encode_from_tokens(self, tokens: str, return_pooled=False):
        ((context, values),) = other_text()
        return context, values["pooled_output"]


class Pictures:
    """A VAE for nodes that encode a picture."""

    def encode(self, pixels: torch.Tensor) -> torch.Tensor:
        return pixels.mean(-1)[:, None, ::8, ::8].expand(-1, 4, -1, -1)


def with_picture() -> dict:
    pixels = torch.rand(1, 64, 96, 3, generator=torch.Generator().manual_seed(2))
    return {"vae": Pictures(), "pixels": pixels, "mask": torch.ones(1, 64, 96), "noise_mask": False}


def with_control() -> dict:
    image = torch.rand(1, 64, 96, 3, generator=torch.Generator().manual_seed(3))
    return {"control_net": tiny.control(), "image": image, "strength": 0.9, "vae": None}


def with_gligen() -> dict:
    return {"clip": Words(), "gligen_textbox_model": tiny.gligen(), "text": "a hat", "width": 48}


def other_lora() -> dict:
    return tiny.lora(tiny.model(), 9)


def _file(name: str, content) -> str:
    """A file in a folder of its own, found by core under its name."""
    import folder_paths

    folder = Path(tempfile.mkdtemp(prefix="ensemble-neighbours-"))
    torch.save(content, folder / f"{name}.pt")
    for kind in ("loras", "hypernetworks"):
        folder_paths.add_model_folder_path(kind, str(folder))
    return f"{name}.pt"


def with_lora_file() -> dict:
    return {"clip": None, "lora_name": _file("other_lora", other_lora()), "strength_model": 0.7}


def with_hypernetwork() -> dict:
    generator = torch.Generator().manual_seed(8)
    half = {
        f"linear.{i}.{kind}": torch.randn(shape, generator=generator) / 10
        for i in (0, 1)
        for kind, shape in (("weight", (96, 96)), ("bias", (96,)))
    }
    content = {"activation_func": "linear", "is_layer_norm": False, "use_dropout": False,
               "activate_output": False, "last_layer_dropout": False, 96: [half, half]}  # fmt: skip
    return {"hypernetwork_name": _file("other_hypernetwork", content), "strength": 0.8}


def halves(name: str) -> Callable[[], dict]:
    """Every weight of a merge at a half."""

    def inputs() -> dict:
        types = input_types(core_nodes()[name])
        return {key: 0.5 for key, (kind, *_) in types.items() if kind == "FLOAT"}

    return inputs


def eager_compiler() -> dict:
    return {"backend": "eager"}
