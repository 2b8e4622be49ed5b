"""Node definitions as `/object_info` gives them: which inputs a node has, in which order."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from .graph import ApiGraph

_WIDGETS = ("INT", "FLOAT", "STRING", "BOOLEAN", "COMBO", "COLOR")
_DYNAMIC = "COMFY_DYNAMICCOMBO_V3"
_SEEDS = ("seed", "noise_seed")


@dataclass(frozen=True)
class Input:
    """One input as the editor sees it."""

    name: str
    type: str
    widget: bool
    default: object = None
    multiline: bool = False
    # Values of widgets that the editor adds behind it, and behind all inputs.
    extra: tuple[str, ...] = ()
    last: tuple[str, ...] = ()
    # Of a COMBO.
    choices: tuple[object, ...] = ()


def is_link(value: object) -> bool:
    return isinstance(value, list)


def inputs_of(
    values: Mapping[str, Any], info: Mapping[str, Any], prefix: str = ""
) -> Iterator[Input]:
    """The node's inputs in the editor's order, those of a dynamic combo's chosen option among them."""
    order = info.get("input_order") or {part: list(each) for part, each in info["input"].items()}
    for part in ("required", "optional"):
        for name in order.get(part, ()):
            type_, *rest = info["input"][part][name]
            options = rest[0] if rest else {}
            full = f"{prefix}{name}"
            yield _input(full, type_, options)
            if type_ == _DYNAMIC:
                chosen = values.get(full, options["options"][0]["key"])
                option = next(each for each in options["options"] if each["key"] == chosen)
                yield from inputs_of(values, {"input": option["inputs"]}, f"{full}.")


def _input(name: str, type_: Any, options: Mapping[str, Any]) -> Input:
    if type_ == _DYNAMIC:
        return Input(name, type_, True, options["options"][0]["key"])
    choices = type_ if isinstance(type_, list) else options.get("options")
    type_ = "COMBO" if isinstance(type_, list) else type_
    widget = type_ in _WIDGETS and not options.get("forceInput")
    seeded = type_ == "INT" and (name in _SEEDS or options.get("control_after_generate"))
    extra = ("fixed",) if seeded else ()
    last = ("image",) if options.get("image_upload") else ()
    default = options.get("default", choices[0] if type_ == "COMBO" and choices else None)
    multiline = bool(options.get("multiline"))
    return Input(name, type_, widget, default, multiline, extra, last, tuple(choices or ()))


def complete(graph: ApiGraph, definitions: Mapping[str, Any]) -> None:
    """Write the node's own default into every widget the graph leaves open: core fills in none.

    Raises ValueError for an input that the node does not have.
    """
    for key, node in graph.items():
        values = node["inputs"]
        inputs = list(inputs_of(values, definitions[node["class_type"]]))
        unknown = set(values) - {each.name for each in inputs}
        if unknown:
            raise ValueError(f"{node['class_type']} ({key}) has no input {', '.join(unknown)}")
        for each in inputs:
            if each.widget and each.name not in values:
                values[each.name] = each.default
