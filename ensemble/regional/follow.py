"""People's regions while a picture is painted: drawn in to the silhouettes that the first steps show.

What the model says the picture will be (its prediction at the step, of the positive side) is compared
with what is sure of the regions (`ensemble/regions/silhouettes.py`). It needs no attention of any
model, so that it is the same for all families and costs a step next to nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F

from ..regions.rect import Rect
from ..regions.silhouettes import Sure, grid_for, silhouettes, sure_of
from ..regions.weights import reduce_to, together
from .rows import WHOLE, Span

_KEPT_RUNS = 16


@dataclass(frozen=True)
class Follow:
    """strength: 0 (regions stay) to 1 (silhouettes alone). Regions are drawn in during `span`, and then
    hold."""

    strength: float = 0.0
    span: Span = WHOLE


UNFOLLOWED = Follow()


class NotFollowedError(ValueError):
    def __init__(self, what: str):
        super().__init__(f"EnsembleFollowedRegions: {what}")


@dataclass
class Follower:
    """The regions of PEOPLE. masks `[N,H,W]`; heads, members: as PEOPLE has them. thin `[N,H,W]`: regions
    without margin, where skeletons tell them.

    now `[N+T,h,w]`: people's regions at this step, then those of several together; None while they are
    as given. A new object whenever they change.
    """

    follow: Follow
    masks: torch.Tensor
    heads: Sequence[Rect | None]
    members: Sequence[Sequence[int]] = ()
    thin: torch.Tensor | None = None
    now: torch.Tensor | None = None
    why_not: str = ""
    """Why this run's regions are not followed, as the start of a sentence."""
    seen: float | None = None
    """The last step that was looked at."""
    sure: Sure | None = None
    fixed: str = ""
    """Why no run of this build is followed."""
    finished: dict[str, tuple[torch.Tensor | None, str]] = field(default_factory=dict)
    """Of the last runs, by what they painted: people's regions `[N,h,w]`, or why there are none."""

    def begin(self) -> None:
        self.now, self.sure, self.seen, self.why_not = None, None, None, self.fixed

    def leave(self, reason: str) -> None:
        """Regions of this run stay, or are again, as they were given."""
        self.now, self.why_not = None, reason

    def see(self, model, predicted: torch.Tensor, sigma: float) -> None:
        """predicted: the latent `[B,C,H,W]` or `[B,C,1,H,W]` that the model expects at this step. A run
        that begins behind the span looks once."""
        first = self.seen is None or sigma != self.seen
        self.seen = sigma
        late = self.now is None and sigma < model.model_sampling.percent_to_sigma(
            self.follow.span.end
        )
        if self.why_not or not first or not (late or self.follow.span.holds(model, sigma)):
            return
        if predicted.shape[0] != 1 or (predicted.ndim == 5 and predicted.shape[2] != 1):
            self.leave(
                f"follow draws regions in for one picture at a time, and this run paints {predicted.shape[0]} "
                f"or a film"
            )
            return
        picture = predicted.detach().reshape(predicted.shape[1], *predicted.shape[-2:])
        grid = grid_for(*picture.shape[-2:])
        if self.sure is None or self.sure.kept.shape != grid:
            self.sure = sure_of(self.masks, grid, self.thin, self.heads)
        found = silhouettes(self.sure, reduce_to(picture, *grid))
        if not torch.isfinite(found).all():
            return
        regions = reduce_to(self.masks, *grid).lerp(found, self.follow.strength)
        shared = [together(regions[list(each)]) for each in self.members]
        self.now = torch.cat([regions, torch.stack(shared)]) if shared else regions

    def finish(self, painted: torch.Tensor) -> None:
        """Keep the regions under what was painted, as core hands it on in one precision or another."""
        import comfy.model_management

        regions = None if self.now is None else self.now[: len(self.masks)]
        reason = self.why_not or "sampling ended before follow_start"
        for dtype in (torch.float32, comfy.model_management.intermediate_dtype()):
            self.finished[_told_by(painted.to(dtype))] = regions, reason
        while len(self.finished) > _KEPT_RUNS:
            del self.finished[next(iter(self.finished))]

    def regions_of(self, painted: torch.Tensor) -> tuple[torch.Tensor, str]:
        """People's regions `[N,H,W]` in the run that painted this latent, and a line for the person at
        the screen where they stayed as given. NotFollowedError where no run is known that did."""
        known = self.finished.get(_told_by(painted))
        if known is None:
            raise NotFollowedError(
                "'samples' is no latent that these people's model painted since it was made, so that its "
                "regions are not known. Link the sampler's own output (of SamplerCustomAdvanced: output, not "
                "denoised_output), and the people of the same Break Regional Prompt; if both are, change "
                "the seed and queue again."
            )
        regions, reason = known
        if regions is None:
            return self.masks, f"{reason}; the regions are as given."
        size = self.masks.shape[-2:]
        return F.interpolate(regions[None], size, mode="bilinear", align_corners=False)[0], ""


def _told_by(painted: torch.Tensor) -> str:
    values = painted.detach().to("cpu", torch.float32).contiguous()
    return hashlib.sha256(values.numpy().tobytes() + repr(tuple(values.shape)).encode()).hexdigest()
