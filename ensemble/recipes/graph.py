"""A ComfyUI graph in API format while it is being built."""

from dataclasses import dataclass, field
from typing import Any

ApiGraph = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Link:
    """One output of a node."""

    node: str
    slot: int


@dataclass(frozen=True)
class Node:
    """A node that was added; `node[1]` is its second output."""

    key: str

    def __getitem__(self, slot: int) -> Link:
        return Link(self.key, slot)


@dataclass
class Graph:
    nodes: ApiGraph = field(default_factory=dict)

    def add(self, class_type: str, key: str, title: str, /, **inputs: object) -> Node:
        """Add a node. Inputs that are None are left out, Links become `[key, slot]`.

        Input ids with a dot (`resize_type.width`) come through a dict with `**`.
        """
        if key in self.nodes:
            raise ValueError(f"two nodes are called {key!r}")
        self.nodes[key] = {
            "class_type": class_type,
            "inputs": {
                name: [value.node, value.slot] if isinstance(value, Link) else value
                for name, value in inputs.items()
                if value is not None
            },
            "_meta": {"title": title},
        }
        return Node(key)
