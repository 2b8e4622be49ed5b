"""Poses for the graph editor, as the input `joints` holds bodies."""

import json
from collections.abc import Mapping
from typing import Any

from ...pose.joints import write_joints
from ...pose.ready import ready_poses
from ..bodies import Refused

SIDES = (64, 16384)


def tell_poses(asked: Mapping[str, str]) -> dict[str, Any]:
    """`poses`: name -> bodies in the middle of a map of `width` x `height`. Refused (400) for what is
    no size."""
    unknown = set(asked) - {"width", "height"}
    if unknown:
        raise Refused(400, f"unknown: {', '.join(sorted(unknown))[:80]}")
    size = []
    for side in ("width", "height"):
        text = asked.get(side, "")
        if not (
            text.isascii()
            and text.isdigit()
            and len(text) < 6
            and SIDES[0] <= int(text) <= SIDES[1]
        ):
            raise Refused(400, f"{side} must be a whole number from {SIDES[0]} to {SIDES[1]}")
        size.append(int(text))
    poses = ready_poses(*size)
    return {"poses": {name: json.loads(write_joints(pose)) for name, pose in poses.items()}}
