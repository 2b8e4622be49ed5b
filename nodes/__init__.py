"""The nodes the graph editor shows. Each module ends with its own NODES; this one joins them."""

from . import lora, mask

NODES: list = [*lora.NODES, *mask.NODES]
