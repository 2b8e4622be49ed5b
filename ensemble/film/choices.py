"""The grade node's widgets as a `Grade`."""

import re
from pathlib import Path

from .cube import Triple, load_cube
from .grade import Grade
from .looks import LOOKS

# How far a fully saturated wheel colour pulls a channel: lift by 0.1, gamma and gain by a fifth.
_LIFT_REACH, _BEND_REACH = 0.1, 0.2


def wheel_offset(color: str) -> Triple:
    """`#rrggbb` as three offsets around 0, about -1..1; any grey is neutral.

    ValueError for text that is no such colour.
    """
    if not re.fullmatch("#[0-9a-fA-F]{6}", color):
        raise ValueError(f"{color!r} is not a colour; write #rrggbb, for example #808080.")
    levels = [int(color[i : i + 2], 16) for i in (1, 3, 5)]
    red, green, blue = ((3 * level - sum(levels)) / (3 * 255) for level in levels)
    return red, green, blue


def _scaled(value: float, color: str) -> Triple:
    red, green, blue = (value * (1 + _BEND_REACH * offset) for offset in wheel_offset(color))
    return red, green, blue


def grade_from_widgets(
    *,
    look: str,
    lut_path: str | None,
    lut_strength: float,
    lift: float,
    lift_color: str,
    gamma: float,
    gamma_color: str,
    gain: float,
    gain_color: str,
    **plain: float,
) -> Grade:
    """The node's widgets, by their names; `plain` are the fields of Grade that are one number each.

    A `look` outside LOOKS is none. ValueError for a bad colour, CubeError for a bad table.
    """
    red, green, blue = (lift + _LIFT_REACH * offset for offset in wheel_offset(lift_color))
    return Grade(
        lift=(red, green, blue),
        gamma=_scaled(gamma, gamma_color),
        gain=_scaled(gain, gain_color),
        look=LOOKS.get(look),
        cube=load_cube(Path(lut_path)) if lut_path else None,
        cube_strength=lut_strength,
        **plain,
    )
