"""A request in words -> the final mask, with a report of what cut what."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from ..pictures import rgb
from ..regions import masks
from .backend import Job, Sockets, Softness
from .registry import Cut, plan
from .request import MaskRequest

logger = logging.getLogger(__name__)

# A blurry likelihood becomes a mask over this much to either side of the threshold.
HEAT_BAND = 0.1
# Coverage of the picture below and above which a selection counts as nothing and as everything.
NOTHING, EVERYTHING = 0.001, 0.999


@dataclass(frozen=True)
class MaskResult:
    # `[B,H,W]`, final: white will be repainted.
    mask: torch.Tensor
    # A line per word: the backend that cut it.
    cuts: tuple[str, ...]
    warnings: tuple[str, ...]

    @property
    def report(self) -> str:
        shares = ", ".join(f"{share:.1%}" for share in self.mask.mean(dim=(1, 2)).tolist())
        lines = [f"White will be repainted: {shares} of the picture.", *self.cuts]
        return "\n".join(lines + [f"Warning: {warning}." for warning in self.warnings])


def mask_from_words(
    request: MaskRequest,
    image: torch.Tensor,
    sockets: Sockets,
    given: torch.Tensor | None = None,
) -> MaskResult:
    """Select by words, or take a given mask in their place; then clean, move, invert, feather.

    `image` `[B,H,W,C]`; the mask comes back `[B,H,W]` on ComfyUI's device for values between
    nodes. Raises ValueError for empty words and for words that no backend here can cut.
    """
    from comfy import model_management

    image = rgb(image).float()
    warnings: list[str] = []
    if given is not None:
        selection = masks.fit(given, *image.shape[:3])
        cuts = ["The connected mask is the selection."]
        if request.words or request.negative:
            warnings.append("both mask and words are given: the mask is used, the words are not")
        if given.shape[-2:] != image.shape[1:3]:
            size, target = _size(given.shape[-2:]), _size(image.shape[1:3])
            warnings.append(f"the mask is {size} and the image {target}: the mask was resized")
    else:
        selection, cuts = _select(request, image, sockets, warnings)
    selection = selection.to(model_management.get_torch_device())
    mask = _shape(request, selection, warnings)
    for warning in warnings:
        logger.warning("MaskFromPrompt: %s.", warning)
    mask = mask.to(model_management.intermediate_device(), model_management.intermediate_dtype())
    return MaskResult(mask, tuple(cuts), tuple(warnings))


def _size(shape: Sequence[int]) -> str:
    return f"{shape[1]}x{shape[0]}"


def _select(
    request: MaskRequest, image: torch.Tensor, sockets: Sockets, warnings: list[str]
) -> tuple[torch.Tensor, list[str]]:
    if not request.words:
        raise ValueError(
            "words is empty: say what to select, for example foreground, face or clothes."
        )
    cuts = plan(request.words + request.negative, request.backend, sockets)
    found = _cut_all(cuts, image, sockets, request.threshold)
    positive = masks.union(found[: len(request.words)])
    if request.negative:
        positive = masks.subtract(positive, masks.union(found[len(request.words) :]))
    lines = []
    for place, cut in enumerate(cuts):
        minus = "" if place < len(request.words) else "minus "
        lines.append(f"{minus}{cut.word}: {cut.backend.title}")
    cautions = dict.fromkeys(cut.backend.caution for cut in cuts if cut.backend.caution)
    warnings.extend(cautions)
    return positive, lines


def _cut_all(
    cuts: Sequence[Cut], image: torch.Tensor, sockets: Sockets, threshold: float
) -> torch.Tensor:
    """Masks `[len(cuts),B,H,W]` in 0..1. Each backend is asked once, for all of its words, so
    that a negative word costs no second look at the picture."""
    from comfy import model_management

    found: dict[int, torch.Tensor] = {}
    for backend in dict.fromkeys(cut.backend for cut in cuts):
        model_management.throw_exception_if_processing_interrupted()
        places = [place for place, cut in enumerate(cuts) if cut.backend is backend]
        job = Job(
            image=image,
            words=tuple(cuts[place].ask for place in places),
            threshold=threshold or backend.threshold,
            sockets=sockets,
        )
        for place, mask in zip(places, backend.segment(cuts[places[0]].found, job), strict=True):
            mask = mask.float().to(image.device)
            if backend.softness is Softness.HEAT:
                mask = sharpen(mask, job.threshold)
            found[place] = 1 - mask if cuts[place].complement else mask
    return torch.stack([found[place] for place in range(len(cuts))]).clamp(0, 1)


def sharpen(heat: torch.Tensor, threshold: float) -> torch.Tensor:
    """A likelihood as a soft mask: one half at the threshold, 0 and 1 from HEAT_BAND away."""
    return ((heat - threshold) / (2 * HEAT_BAND) + 0.5).clamp(0, 1)


def _shape(request: MaskRequest, selection: torch.Tensor, warnings: list[str]) -> torch.Tensor:
    """Selection -> final mask, in the order holes, islands, dilate, invert, feather."""
    _note_coverage(selection, warnings)
    mask = masks.fill_holes(selection, request.fill_holes)
    mask = masks.drop_islands(mask, request.drop_islands)
    radius = masks.equivalent_radius(mask)
    asked = request.dilate.pixels(radius)
    mask, used = masks.grow(mask, asked)
    stopped = (used != asked).nonzero().flatten().tolist()
    if stopped:
        far = ", ".join(f"{-used[i]:.0f} instead of {-asked[i]:.0f} px" for i in stopped)
        warnings.append(
            f"dilate would shrink the selection to nothing{_pictures(stopped, len(mask))}: "
            f"stopped at {far}"
        )
    if request.invert:
        mask = 1 - mask
    return masks.feather(mask, request.feather.pixels(radius))


def _pictures(which: Sequence[int], count: int) -> str:
    return "" if count == 1 else " in picture " + ", ".join(str(i + 1) for i in which)


def _note_coverage(selection: torch.Tensor, warnings: list[str]) -> None:
    coverage = selection.mean(dim=(1, 2))
    nothing = (coverage < NOTHING).nonzero().flatten().tolist()
    everything = (coverage > EVERYTHING).nonzero().flatten().tolist()
    for which, what in ((nothing, "nothing"), (everything, "the whole picture")):
        if which:
            shares = ", ".join(f"{coverage[i]:.2%}" for i in which)
            warnings.append(
                f"the selection is {what}{_pictures(which, len(selection))} (coverage {shares})"
            )
