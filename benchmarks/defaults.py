"""Which defaults keep people most themselves? One setting at a time, swept on the taught drawn people.

    python dev bench defaults [--quick] [--json FILE] [--only NAME ...] [--people 2] [--far 1] [--seeds 8]
        [--steps 20]

Settings of the regional prompt (`base_strength`, `feather`, `start`, `end`, `isolate` over all of sampling,
`isolate_end` with `isolate` at 1), of the hires fix (`denoise`, `overlap`) and of FaceInpaint (`denoise`,
`context`). Regional settings start from noise; hires and faces from the pictures that the regional defaults
make. The columns:

* `own`: how much of their own look people show, in parts of what a drawing of them shows; `other`: the same of
  the others, who should not be seen there; `right`: the share of people who show themselves most.
* `hair`: how much of their hair's two colours is in the head's place, in parts of a drawing's.
* `seam`: the step between neighbouring pixels at the border of regions or tiles, in steps elsewhere.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

import engine
import identity
import identity_methods
import identity_scenes

COLUMNS = ["setting", "value", "own", "other", "right", "hair", "seam", "seeds"]
REGIONAL = {
    "base_strength": (0.0, 0.1, 0.2, 0.3, 0.5),
    "feather": (0.0, 0.03, 0.06, 0.12, 0.2),
    "start": (0.0, 0.1, 0.2, 0.4),
    "end": (0.4, 0.6, 0.8, 1.0),
    "isolate": (0.0, 0.5, 1.0),
    "isolate_end": (0.3, 0.6, 1.0),
}
HIRES = {"hires denoise": (0.2, 0.3, 0.4, 0.5, 0.7), "hires overlap": (0, 32, 64, 96)}
FACES = {"face denoise": (0.3, 0.4, 0.5, 0.6, 0.7), "face context": (1.5, 2.0, 2.5, 3.0)}
FACTOR = 2.0
"""Of the hires fix."""
TILE = 192
"""Pixels: the side the model was taught at, and several tiles in a picture."""


def options():
    parser = engine.options(__doc__, "two seeds, eight steps, the ends of each range")
    names = [*REGIONAL, *HIRES, *FACES]
    parser.add_argument("--only", nargs="+", choices=names, default=names)
    parser.add_argument("--people", type=int, nargs="+", default=[2])
    parser.add_argument("--far", type=float, default=1.0, help="people's size, as if further away")
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--steps", type=int, default=20)
    return parser


@dataclass
class Bench:
    """The scene, and pictures of it that are made once."""

    painter: identity_methods.Painter
    seeds: range
    kept: dict[int, object]

    def base(self, seed: int):
        """The picture `[1,H,W,3]` by the defaults."""
        if seed not in self.kept:
            self.kept[seed] = self.regional({}, seed)
        return self.kept[seed]

    def regional(self, changed: dict[str, float], seed: int):
        people = self.painter.people
        if changed:
            people = self.painter.composed(**isolating(changed))
        painter = replace_people(self.painter, people)
        return painter.picture(painter.fused([1.0] * self.painter.stage.people, seed))

    def hires(self, changed: dict[str, float], seed: int):
        from ensemble_portraits.ensemble.regional.crops import from_people
        from ensemble_portraits.ensemble.regional.hires import HiresSettings, hires

        kit = self.painter.kit
        settings = HiresSettings(
            sampling=self.sampling(seed, changed.get("denoise", 0.4)), factor=FACTOR, tile=TILE,
            overlap=int(changed.get("overlap", 32)),
        )  # fmt: skip
        picture = self.base(seed)
        return hires(picture, kit.vae, from_people(self.painter.people), None, settings)

    def faces(self, changed: dict[str, float], seed: int):
        from ensemble_portraits.ensemble.faces.choices import Source
        from ensemble_portraits.ensemble.faces.detect import Sources
        from ensemble_portraits.ensemble.faces.inpaint import FaceSettings, face_inpaint
        from ensemble_portraits.ensemble.faces.painters import PeoplePainter
        from ensemble_portraits.ensemble.faces.redraw import RedrawSettings

        redraw = RedrawSettings(
            sampling=self.sampling(seed, changed.get("denoise", 0.5)), size=TILE,
            context=changed.get("context", 2.0),
        )  # fmt: skip
        people = self.painter.people
        sources = Sources(pose=self.painter.stage.pose(), people=people)
        settings = FaceSettings(redraw=redraw, source=Source.POSE)
        made = face_inpaint(
            self.base(seed),
            self.painter.kit.vae,
            PeoplePainter.of(people, None, None),
            sources,
            settings,
        )
        return made.image

    def sampling(self, seed: int, denoise: float):
        from ensemble_portraits.ensemble.regional.sampling import SamplingSettings

        kit = self.painter.kit
        return SamplingSettings(
            seed=seed, steps=kit.steps, cfg=kit.cfg, scheduler="normal", denoise=denoise
        )


def isolating(changed: dict[str, float]) -> dict:
    """The settings, with those of the isolation window as the pack has them."""
    from ensemble_portraits.ensemble.regional.isolation import Isolation
    from ensemble_portraits.ensemble.regional.rows import Span

    if "isolate_end" in changed:
        return {"isolation": Isolation(1.0, Span(0.0, changed["isolate_end"]))}
    if "isolate" in changed:
        return {"isolation": Isolation(changed["isolate"])}
    return changed


def replace_people(painter, people):
    import copy

    other = copy.copy(painter)
    other.people = people
    return other


def measured(pictures: list, stage, scale: float = 1.0) -> dict:
    """Own and others' shares, and how many are themselves most. scale: of the pictures to the stage."""
    import numpy as np
    from ensemble_portraits.ensemble.pictures import to_bytes

    from dolls.world import draw
    from dolls.world.reading import looks

    people = range(stage.people)
    own, other, right, hair = [], [], [], []
    drawn = heads(np.asarray(draw(stage.scene)), stage)
    for picture in pictures:
        if scale != 1.0:
            height, width = (round(side / scale) for side in picture.shape[1:3])
            picture = smaller(picture, width, height)
        pixels = to_bytes(picture[0]).numpy()
        scores = looks(pixels, stage.scene, people)
        hair += [a / b for a, b in zip(heads(pixels, stage), drawn, strict=True)]
        own += [scores[i, i] for i in people]
        other += [np.delete(scores[i], i).max(initial=0.0) for i in people]
        right += [int(scores[i].argmax()) == i for i in people]
    mean = lambda values: float(np.mean(values))  # noqa: E731
    return {"own": mean(own), "other": mean(other), "right": mean(right), "hair": mean(hair)}


def heads(pixels, stage) -> list[float]:
    """What each person's head shows of their own hair colours."""
    from dolls.world import identity_scores

    return [float(identity_scores(pixels, box)[who]) for who, box in enumerate(stage.heads)]


def smaller(picture, width: int, height: int):
    import comfy.utils

    planes = comfy.utils.common_upscale(picture.movedim(-1, 1), width, height, "area", "disabled")
    return planes.movedim(1, -1)


def seam(pictures: list, columns: list[int]) -> float:
    """The step across these columns of pixels, in steps across all others."""
    import torch

    steps = torch.stack([p[0].diff(dim=1).abs().mean((0, 2)) for p in pictures]).mean(0)
    at = torch.zeros_like(steps, dtype=torch.bool)
    at[[c - 1 for c in columns]] = True
    return float(steps[at].mean() / steps[~at].mean())


def borders(people) -> list[int]:
    """Columns of pixels where the region with most weight changes hands, in the middle row of the masks."""
    row = people.masks.argmax(0)[people.masks.shape[1] // 2]
    return (row.diff().nonzero()[:, 0] + 1).tolist()


def sweep(bench: Bench, name: str, values) -> list[dict]:
    kind, _, key = name.rpartition(" ")
    paint: Callable = {"": bench.regional, "hires": bench.hires, "face": bench.faces}[kind]
    scale = FACTOR if kind == "hires" else 1.0
    rows = []
    for value in values:
        pictures = [paint({key: value}, seed) for seed in bench.seeds]
        rows.append({
            "setting": name, "value": value, **measured(pictures, bench.painter.stage, scale),
            "seam": at_borders(bench, pictures, name), "seeds": len(pictures),
            "people": bench.painter.stage.people,
        })  # fmt: skip
        print(rows[-1], flush=True)
    return rows


def at_borders(bench: Bench, pictures: list, name: str) -> float | None:
    width = pictures[0].shape[2]
    if name.startswith("face"):
        return None
    if name.startswith("hires"):
        return seam(pictures, list(range(TILE, width, TILE)))
    people = bench.painter.people
    wide = people.masks.shape[-1]
    return seam(pictures, [c * width // wide for c in borders(people)])


def main(argv: list[str] | None = None) -> None:
    args = options().parse_args(argv)
    if args.quick:
        args.seeds, args.steps = 2, 8
    wanted = {k: v for k, v in {**REGIONAL, **HIRES, **FACES}.items() if k in args.only}
    if args.quick:
        wanted = {name: (values[0], values[-1]) for name, values in wanted.items()}
    engine.load(os.environ.get("ENSEMBLE_BASE"))
    import torch

    rows = []
    with torch.inference_mode():
        kit = identity.load_kit(drawn_arguments(args), True)
        for people in args.people:
            stage = identity_scenes.further(
                identity_scenes.stage(people, "apart", 192, 0), args.far
            )
            bench = Bench(identity_methods.Painter(kit, stage), range(args.seeds), {})
            rows.append({
                "setting": "as it is", "value": None,
                **measured([bench.base(seed) for seed in bench.seeds], stage),
                "seam": None, "seeds": args.seeds, "people": people,
            })  # fmt: skip
            for name, values in wanted.items():
                rows += sweep(bench, name, values)
    engine.report(rows, COLUMNS, args.json)


def drawn_arguments(args):
    """The identity benchmark's, for the drawn people."""
    made = identity.options().parse_args(["--people", *map(str, args.people)])
    made.steps = args.steps
    refusal = identity.with_dolls(made)
    if refusal:
        raise SystemExit(refusal)
    return made


if __name__ == "__main__":
    main()
