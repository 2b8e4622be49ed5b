"""The size of the canvas, so that no size is typed twice."""

_SHORT, _STEP, _LONGEST = 512, 8, 4096


def canvas_size(width: int, height: int, given: tuple[int, int] | None) -> tuple[int, int]:
    """(width, height) in multiples of 8. 0 is automatic: the shape of the `given` picture (width,
    height) with its short side 512, or square without a picture; one side given sets the other."""
    if width and height:
        return _round(width), _round(height)
    wide, tall = given or (1, 1)
    if width or height:
        scale = width / wide if width else height / tall
    else:
        scale = _SHORT / min(wide, tall)
    size = _round(width or wide * scale), _round(height or tall * scale)
    if max(size) > _LONGEST:
        raise ValueError(
            f"width, height: a picture of {wide}x{tall} pixels would give a canvas of "
            f"{size[0]}x{size[1]}. Set both, or crop the picture."
        )
    return size


def _round(pixels: float) -> int:
    return max(_STEP, round(pixels / _STEP) * _STEP)
