"""Colour grading of an IMAGE: light first (white balance, exposure, saturation), then display
values.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from ..pictures import colours
from .colour import adaptation, contrast, saturate, to_display, to_linear, white_point
from .cube import Cube, Triple, apply_cube
from .looks import Look, apply_look, curve_table

_CHUNK_CPU, _CHUNK_GPU = 1 << 17, 1 << 22  # pixels worked on at a time


@dataclass(frozen=True, kw_only=True)
class Grade:
    """All of one grade. The defaults change nothing."""

    # Stops.
    exposure: float = 0.0
    # Slope at `pivot`, a display value.
    contrast: float = 1.0
    pivot: float = 0.435
    # -100..100.
    temperature: float = 0.0
    tint: float = 0.0
    # A factor.
    saturation: float = 1.0
    # -1..1.
    vibrance: float = 0.0
    # Per channel, on display values.
    lift: Triple = (0.0, 0.0, 0.0)
    gamma: Triple = (1.0, 1.0, 1.0)
    gain: Triple = (1.0, 1.0, 1.0)
    look: Look | None = None
    # 0..1, how much of the look is mixed in.
    look_strength: float = 1.0
    # A table of display values.
    cube: Cube | None = None
    # 0..1, how much of the table is mixed in.
    cube_strength: float = 1.0

    def changes_light(self) -> bool:
        shifts = self.exposure, self.temperature, self.tint, self.vibrance
        return any(shifts) or self.saturation != 1.0

    def changes_tone(self) -> bool:
        wheels = (self.lift, self.gamma, self.gain)
        return self.contrast != 1.0 or wheels != ((0.0,) * 3, (1.0,) * 3, (1.0,) * 3)

    def changes_nothing(self) -> bool:
        look = self.look is not None and self.look_strength > 0.0
        cube = self.cube is not None and self.cube_strength > 0.0
        return not (self.changes_light() or self.changes_tone() or look or cube)


def _in_light(colour: torch.Tensor, grade: Grade, balance: torch.Tensor) -> torch.Tensor:
    light = balance.to(colour) @ to_linear(colour)
    if grade.saturation != 1.0 or grade.vibrance:
        light = saturate(light, grade.saturation, grade.vibrance)
    return to_display(light)


def _wheels(display: torch.Tensor, grade: Grade) -> torch.Tensor:
    """Lift moves black and leaves white, gain moves white and leaves black, gamma bends between."""
    lift, gamma, gain = (
        display.new_tensor(wheel).unsqueeze(1) for wheel in (grade.lift, grade.gamma, grade.gain)
    )
    value = (display + lift * (1.0 - display)) * gain
    return value.abs().pow(1.0 / gamma).copysign(value)


def grade_colour(
    colour: torch.Tensor, grade: Grade, balance: torch.Tensor, curves: Cube | None
) -> torch.Tensor:
    """Display values `[3, N]` to display values, not clamped. `balance` is `balance_matrix(grade)`."""
    if grade.changes_light():
        colour = _in_light(colour, grade, balance)
    if grade.contrast != 1.0:
        colour = contrast(colour, grade.contrast, grade.pivot)
    if grade.changes_tone():
        colour = _wheels(colour, grade)
    if grade.look is not None and curves is not None and grade.look_strength > 0.0:
        looked = apply_look(to_linear(colour), grade.look, curves)
        colour = torch.lerp(colour, looked, grade.look_strength)
    if grade.cube is not None and grade.cube_strength > 0.0:
        colour = torch.lerp(colour, apply_cube(colour, grade.cube), grade.cube_strength)
    return colour


def balance_matrix(grade: Grade) -> torch.Tensor:
    """White balance and exposure as one matrix on linear light, float64 `[3, 3]`."""
    matrix = adaptation(white_point(0.0, 0.0), white_point(grade.temperature, grade.tint))
    return matrix * 2.0**grade.exposure


def _pieces(pixels: int, device: torch.device) -> Iterator[slice]:
    step = _CHUNK_CPU if device.type == "cpu" else _CHUNK_GPU
    for start in range(0, pixels, step):
        yield slice(start, start + step)


def colour_grade(
    image: torch.Tensor, grade: Grade, device: torch.device | None = None
) -> torch.Tensor:
    """Grade an IMAGE `[B,H,W,C]`; grey becomes colour, alpha is copied, dtype and device are kept.

    A picture within 0..1 stays within; one with values outside (HDR) is not clamped.
    """
    if grade.changes_nothing() or image.numel() == 0:
        return image
    device = device or image.device
    colour = colours(image.shape[-1])
    out = image.new_empty(*image.shape[:3], 3 + image.shape[-1] - colour)
    balance = balance_matrix(grade)
    curves = curve_table(grade.look) if grade.look is not None else None
    for frame, result in zip(image.flatten(1, 2), out.flatten(1, 2), strict=True):
        hdr = bool(((frame[:, :colour] < 0) | (frame[:, :colour] > 1)).any())
        for piece in _pieces(frame.shape[0], device):
            plain = frame[piece, :colour].to(device, torch.float32).T.expand(3, -1)
            graded = grade_colour(plain.contiguous(), grade, balance, curves)
            result[piece, :3].copy_((graded if hdr else graded.clamp_(0.0, 1.0)).T)
        result[:, 3:].copy_(frame[:, colour:])
    return out
