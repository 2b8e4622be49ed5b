"""The nodes the graph editor shows. Each module ends with its own NODES list; this one joins them."""

NODES: list = []
