"""`--outpaint`: more picture around the picture, painted by the checkpoint alone."""

from dataclasses import replace

from ..prompt.emphasis import Weights, for_comfy
from ..prompt.grammar import parse_negative
from .build import Build, Flow
from .stage_sample import sample
from .stage_text import encode

_LARGEST = 16384  # ComfyUI's MAX_RESOLUTION


def read_canvas(build: Build) -> None:
    """Before anything is built: the size of an input picture that is only outpainted, and whether
    there is a size to outpaint to."""
    recipe = build.recipe
    if not recipe.outpaint:
        return
    if not (recipe.outpaint_width or recipe.outpaint_height):
        build.refuse("--outpaint", "needs --outpaint_width or --outpaint_height")
    if recipe.width and recipe.height:
        return
    size = build.library.size(recipe.input_image or "")
    if size is None:
        build.refuse("--outpaint", "needs w and h: the size of the input picture is not known here")
        return
    width, height = size
    if recipe.width or recipe.height:
        # add_outpaint makes it smaller where the canvas wants it.
        known = (
            _eighth((recipe.height or 0) * width / height),
            _eighth((recipe.width or 0) * height / width),
        )
        build.recipe = replace(
            recipe, width=recipe.width or known[0], height=recipe.height or known[1]
        )
        return
    shrink = min(
        1.0, (recipe.outpaint_width or width) / width, (recipe.outpaint_height or height) / height
    )
    build.recipe = replace(recipe, width=_eighth(width * shrink), height=_eighth(height * shrink))


def add_outpaint(build: Build, flow: Flow, plain: Flow) -> None:
    """`plain` has the model and CLIP without people and LoRAs. From here on flow is it: regions of
    people are parts of the smaller canvas."""
    recipe, graph = build.recipe, build.graph
    width, height = recipe.width or 0, recipe.height or 0
    wide, high = recipe.outpaint_width or width, recipe.outpaint_height or height
    shrink = min(1.0, wide / width, high / height)
    picture = flow.image
    if shrink < 1:
        width, height = _eighth(width * shrink), _eighth(height * shrink)
        size = {"width": width, "height": height, "upscale_method": "lanczos", "crop": "disabled"}
        picture = graph.add("ImageScale", "outpaint_fit", "Fit", image=picture, **size)[0]
        flow.people, flow.mask = None, None
    left, top = (
        _offset(wide - width, recipe.outpaint, "left", "right"),
        _offset(high - height, recipe.outpaint, "top", "bottom"),
    )
    sides = {"left": left, "top": top, "right": wide - width - left, "bottom": high - height - top}
    if not any(sides.values()):
        build.notes.append(
            f"--outpaint: the picture fills its canvas of {wide}x{high}, so nothing is painted around "
            "it; a larger --outpaint_width or --outpaint_height leaves room"
        )
        flow.image = picture
        return
    padded = graph.add("ImagePadForOutpaint", "outpaint", "Outpaint", image=picture, **sides)
    texts = (recipe.outpaint_prompt or recipe.parts.base_text, _negative(build))
    weights = Weights.A1111 if recipe.use_lpw else Weights.OFF
    texts = tuple(for_comfy(text, weights) for text in texts)
    plain.positive, plain.negative = encode(
        build, plain.clip, texts, "outpaint_", " of the Surroundings"
    )
    masked = graph.add(
        "InpaintModelConditioning",
        "outpaint_repaint",
        "Repaint the Surroundings",
        **plain.conditioning,
        vae=plain.vae,
        pixels=padded[0],
        mask=padded[1],
        noise_mask=True,
    )
    soft = graph.add("DifferentialDiffusion", "outpaint_soft", "Soft Mask", model=plain.model)
    painter = replace(plain, model=soft[0], positive=masked[0], negative=masked[1])
    painted = sample(build, painter, masked[2], 1.0, "outpaint_", " of the Surroundings")
    flow.image = graph.add(
        "ImageCompositeMasked",
        "outpaint_composite",
        "Surroundings into the Picture",
        destination=padded[0],
        source=painted,
        mask=padded[1],
    )[0]
    build.notes.append(
        f"--outpaint: {width}x{height} at {recipe.outpaint} of {wide}x{high}; what is around it is "
        "painted by the checkpoint alone"
    )
    flow.model, flow.clip, flow.people, flow.mask = plain.model, plain.clip, None, None
    flow.positive, flow.negative = plain.positive, plain.negative


def _negative(build: Build) -> str:
    return parse_negative(build.recipe.negative, build.recipe.people).base_text


def _offset(room: int, anchor: str | None, first: str, last: str) -> int:
    words = (anchor or "").split("-")
    if first in words:
        return 0
    return room if last in words else room // 16 * 8


def _eighth(pixels: float) -> int:
    """The side of a picture, of those that ComfyUI scales to."""
    return min(_LARGEST, max(16, int(pixels / 8) * 8))
