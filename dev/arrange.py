"""A bundled workflow laid out to be read at first sight: groups from left to right, and a note.

Which node stands in which column of which group is in templates.json. The editor fits an opened graph into
the window, so everything here is about needing little room: two screens at 50 % at most.
"""

import re
from collections.abc import Mapping, Sequence
from math import ceil
from typing import Any

Columns = Sequence[Sequence[str]]
Frame = dict[str, Any]

# The groups' widths in pixels of the canvas, and their colours, which are of the editor's own palette.
_GROUPS = {
    "Models": (420, "#3f789e"),
    "People": (470, "#8A8"),
    "Picture": (330, "#b58b2a"),
    "Finishing": (360, "#a1309b"),
}
# What the editor's guess of a height has too much of before the first run, or too little.
_CORRECTIONS = {
    "LoadImage": -10,
    "PoseControlInput": -190,
    "SaveImage": -70,
    "MultiLoraLoader": 70,
}
_COLUMN_GAP, _NODE_GAP = 30, 60
_PADDING, _GROUP_GAP = 20, 30
_TITLE = 30  # of a node, above its position
_HEAD = 46  # of a group, above its first node's title
_TALL = 1400  # a canvas of this height is shown at 60 % and more on a usual screen
_LINE, _CHARACTERS = 20, 56  # of a note as wide as the models


def arrange(nodes: Mapping[str, dict[str, Any]], groups: Mapping[str, Columns]) -> list[Frame]:
    """Give every node its place and size in pixels of the canvas, and return the groups.

    Raises ValueError for a node in no group or in two.
    """
    listed = [key for columns in groups.values() for column in columns for key in column]
    if sorted(listed) != sorted(nodes):
        wrong = sorted({*listed} ^ {*nodes}) or sorted(k for k in nodes if listed.count(k) > 1)
        raise ValueError(f"templates.json, groups: each node stands in one column, not so {wrong}")
    frames, left = [], _PADDING
    for number, (title, columns) in enumerate(groups.items(), 1):
        width, colour = _GROUPS[title]
        for index, column in enumerate(columns):
            _stack([nodes[key] for key in column], left + index * (width + _COLUMN_GAP), width)
        whole = len(columns) * (width + _COLUMN_GAP) - _COLUMN_GAP
        inside = [nodes[key] for column in columns for key in column]
        frames.append(_frame(number, title, colour, left, whole, inside))
        left += whole + 2 * _PADDING + _GROUP_GAP
    return frames


def _stack(column: Sequence[dict[str, Any]], left: int, width: int) -> None:
    top = 0
    for node in column:
        height = node["size"][1] + _CORRECTIONS.get(node["type"], 0)
        node["pos"], node["size"] = [left, top], [width, height]
        top += height + _NODE_GAP


def _frame(
    number: int, title: str, colour: str, left: int, width: int, inside: Sequence[dict[str, Any]]
) -> Frame:
    top = -_TITLE - _HEAD
    bottom = max(node["pos"][1] + node["size"][1] for node in inside)
    return {
        "id": number, "title": title, "color": colour, "font_size": 32, "flags": {},
        "bounding": [left - _PADDING, top, width + 2 * _PADDING, bottom + _PADDING - top],
    }  # fmt: skip


def note_place(frames: Sequence[Frame], text: str) -> tuple[list[int], list[int]]:
    """Position and size of the note: below the models where it ends with the tallest group or soon
    enough, else at the left of all."""
    left, top, width, height = frames[0]["bounding"]
    shown = re.sub(r"\]\([^)]*\)", "]", text)
    needed = 40 + sum(
        ceil(len(line) / _CHARACTERS) * _LINE + (0 if line else _LINE // 2)
        for line in shown.splitlines()
    )
    end = max(frame["bounding"][1] + frame["bounding"][3] for frame in frames)
    below = top + height + _GROUP_GAP + _TITLE
    if below + needed <= max(end, _TALL):
        return [left, below], [width, max(needed, end - below)]
    return [left - _GROUP_GAP - width, top + _TITLE], [width, max(needed, end - top - _TITLE)]
