"""Everybody's LoRAs for one model, as products of low rank and whole weights where it must be."""

from __future__ import annotations

from typing import NamedTuple

from ..regional.build import EXACT, split_products
from ..regional.patch import compute_dtype
from ..regional.people import People
from ..regional.stack import AdapterStack, build_stack
from ..regional.variants import WeightVariants


class Adapters(NamedTuple):
    """everything holds the other two as one module, for ComfyUI's memory accounting."""

    products: AdapterStack
    variants: WeightVariants
    everything: AdapterStack


def adapters_of(people: People) -> Adapters:
    dtype = compute_dtype(people.model)
    parts = [split_products(people.model, person, dtype) for person in people.people]
    products, _ = build_stack(people.model, [low for low, _ in parts], dtype, EXACT)
    layers: dict[str, dict] = {}
    for who, (_, dense) in enumerate(parts):
        for name, tensors in dense.items():
            layers.setdefault(name, {})[who] = tensors
    variants = WeightVariants(layers)
    everything = AdapterStack(dict(products.items()))
    everything.variants = variants
    return Adapters(products, variants, everything)
