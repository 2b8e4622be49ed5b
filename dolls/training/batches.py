"""Random batches. Everything in a batch follows from the seed and the number of the step, so that a
run that was interrupted goes on as if it had not been; and it is drawn on the training device, so
that the device never waits for numbers from here."""

import random
from dataclasses import dataclass

import torch
from torch import Tensor

from ..networks.layers import Context
from ..networks.text import TextEncoder
from ..world.pose_map import PALETTE
from ..world.words import tokens
from .data import Scenes
from .render import PEOPLE, VARIANTS

_ALONE = 0.4  # of the scenes with company: told about one person only
_ELSEWHERE = 0.1  # what errors outside that person's box count


def region_weights(boxes: Tensor, h: int, w: int, grow: float | None, base: float) -> Tensor:
    """Boxes `[B,PEOPLE,4]` in parts of the picture -> weights `[B,1+PEOPLE,h,w]` of the base and of
    every person, which sum to 1.

    grow: by how much boxes grow to each side, in pictures; None for columns that meet half way.
    base: the least weight of the base, everywhere.
    """
    present = (boxes[..., 2] > boxes[..., 0])[..., None, None]
    ys, xs = ((torch.arange(n, device=boxes.device) + 0.5) / n for n in (h, w))
    if grow is None:
        middle = ((boxes[..., 0] + boxes[..., 2]) / 2)[..., None]
        # Who is not there is far away.
        nearest = (xs - torch.where(present[..., 0], middle, 9.0)).abs().argmin(1)
        people = torch.arange(PEOPLE, device=boxes.device)[:, None]
        masks = (nearest[:, None] == people)[:, :, None].expand(-1, -1, h, -1)
    else:
        left, top, right, bottom = (boxes[..., i, None, None] for i in range(4))
        across = (xs > left - grow) & (xs < right + grow)
        down = (ys[:, None] > top - grow) & (ys[:, None] < bottom + grow)
        masks = across & down & present
    masks = masks.float()
    masks = masks / masks.sum(1, keepdim=True).clamp_min(1) * (1 - base)
    return torch.cat([1 - masks.sum(1, keepdim=True), masks], 1)


@dataclass(frozen=True)
class Batch:
    """latents and noise `[B,4,h,w]`, t `[B]`, hint `[B,3,8h,8w]` in 0..1 or None, weight of the
    error `[B,1,h,w]`."""

    latents: Tensor
    context: Context
    hint: Tensor | None
    weight: Tensor
    t: Tensor
    noise: Tensor


@dataclass(frozen=True)
class Mix:
    """size: scenes of a batch. drop: share of the captions left out, for classifier-free guidance.
    regional: share of the batches with a text per region. hints: whether there are pose maps."""

    size: int
    drop: float
    regional: float = 0.5
    hints: bool = False


class Batches:
    def __init__(self, sets: dict[str, Scenes], text: TextEncoder, mix: Mix, seed: int):
        self.sets, self.text, self.mix, self.seed = sets, text, mix, seed
        self.device = text.token.device
        self.palette = torch.from_numpy(PALETTE).to(self.device).float() / 255
        self.empty = torch.tensor(tokens(""), device=self.device, dtype=torch.int32)
        self.generator = torch.Generator(self.device)
        self.counts = {shape: _counts(scenes.boxes) for shape, scenes in sets.items()}

    def draw(self, step: int) -> Batch:
        """One shape a batch; with regions also one number of people, so that nobody's text is made
        for nothing."""
        rng = random.Random(f"{self.seed} {step}")
        self.generator.manual_seed(rng.getrandbits(60))
        regional = rng.random() < self.mix.regional
        shape = rng.choices(list(self.sets), [len(scenes) for scenes in self.sets.values()])[0]
        scenes, counts = self.sets[shape], self.counts[shape]
        pick = self._whole_numbers(len(scenes))
        if regional:
            count = int(counts[rng.randrange(len(scenes))])
            alike = (counts == count).nonzero().flatten().to(self.device)
            pick = alike[self._whole_numbers(len(alike))]
        latents, boxes = scenes.latents[pick].float(), scenes.boxes[pick]
        ids = scenes.tokens[pick, self._whole_numbers(VARIANTS)]
        dropped = self._shares() < self.mix.drop
        ids = torch.where(dropped[:, None, None], self.empty, ids)
        if regional:
            context, weight = self._by_regions(latents, ids, boxes, rng)
        else:
            context, weight = self._in_one_text(latents, ids, boxes)
        hint = None
        if self.mix.hints:
            hint = self.palette[scenes.poses[pick].long()].permute(0, 3, 1, 2)
        t = self._whole_numbers(1000)
        noise = torch.randn(latents.shape, generator=self.generator, device=self.device)
        return Batch(latents, context, hint, weight, t, noise)

    def _whole_numbers(self, below: int) -> Tensor:
        size = (self.mix.size,)
        return torch.randint(below, size, generator=self.generator, device=self.device)

    def _shares(self) -> Tensor:
        return torch.rand(self.mix.size, generator=self.generator, device=self.device)

    def _by_regions(
        self, latents: Tensor, ids: Tensor, boxes: Tensor, rng: random.Random
    ) -> tuple[Context, Tensor]:
        """The base's text and each person's: prompts by regions as they are sampled."""
        b, _, h, w = latents.shape
        grow = rng.uniform(0.0, 0.07) if rng.random() < 0.6 else None
        regions = region_weights(boxes, h, w, grow, rng.choice((0.0, 0.0, 0.2, 0.4)))
        used = 1 + int(_counts(boxes).max())
        context = self.text.context(ids[:, 1 : 1 + used], regions[:, :used])
        return context, torch.ones(b, 1, h, w, device=self.device)

    def _in_one_text(self, latents: Tensor, ids: Tensor, boxes: Tensor) -> tuple[Context, Tensor]:
        """The whole scene's text; or, of some scenes, one person's, and then errors count at that
        person: prompts with masks are sampled so."""
        b, _, h, w = latents.shape
        rows = torch.arange(b, device=self.device)
        count = _counts(boxes)
        one = (self._shares() * count).long()
        alone = (self._shares() < _ALONE) & (count > 1)
        box = torch.zeros_like(boxes)
        box[:, 0] = boxes[rows, one]
        there = region_weights(box, h, w, grow=0.0, base=0.0)[:, 1:2]
        weight = torch.where(alone[:, None, None, None], there.clamp_min(_ELSEWHERE), 1.0)
        said = torch.where(alone[:, None], ids[rows, 2 + one], ids[:, 0])
        return self.text.context(said[:, None]), weight


def _counts(boxes: Tensor) -> Tensor:
    """People of each scene, `[N]`."""
    return (boxes[..., 2] > boxes[..., 0]).sum(1)
