"""The nodes the graph editor shows. Each module ends with its own NODES; this one joins them."""

from . import lora, mask, panorama, safety, sampler, text

NODES: list = [
    *lora.NODES,
    *mask.NODES,
    *panorama.NODES,
    *safety.NODES,
    *sampler.NODES,
    *text.NODES,
]
