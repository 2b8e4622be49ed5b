"""The grade node's widgets as a `Grade`."""

import re
from pathlib import Path

from .cube import load_cube
from .grade import Grade, Triple
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
    look: str,
    look_strength: float,
    lut_path: str | None,
    lut_strength: float,
    light: tuple[float, float, float, float, float],
    tone: tuple[float, float],
    wheels: tuple[tuple[float, str], tuple[float, str], tuple[float, str]],
) -> Grade:
    """light: exposure, temperature, tint, saturation, vibrance. tone: contrast, pivot. wheels:
    lift,
    gamma, gain, each a value and a colour. `look` outside LOOKS is none. CubeError for a bad table.
    """
    exposure, temperature, tint, saturation, vibrance = light
    lift, gamma, gain = wheels
    red, green, blue = (lift[0] + _LIFT_REACH * offset for offset in wheel_offset(lift[1]))
    return Grade(
        exposure=exposure,
        contrast=tone[0],
        pivot=tone[1],
        temperature=temperature,
        tint=tint,
        saturation=saturation,
        vibrance=vibrance,
        lift=(red, green, blue),
        gamma=_scaled(*gamma),
        gain=_scaled(*gain),
        look=LOOKS.get(look),
        look_strength=look_strength,
        cube=load_cube(Path(lut_path)) if lut_path else None,
        cube_strength=lut_strength,
    )
