"""Who is in a finished picture: by faces and an embedder, or by the drawn people's own colours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import identity_methods
import identity_scenes

FIGURES = ("right_share", "id_conf", "similarity", "matched", "scr", "count_right")
DETECTORS = ("auto", "yunet", "mediapipe", "pose")
SEEN, SAME = 0.1, 0.5
"""In parts of what the drawing of an identity shows of it: from the first on somebody is there at all, below
the second they are not themselves. Drawings of others show up to 0.3."""
ALONE = 77
"""Seed of the pictures that people are compared with."""


class Drawn:
    """Reads the whole look of drawn people (hair, shirt, legs) at the places of the given poses. Whoever shows
    less than SEEN of anybody counts as missing."""

    title = "looks of the drawn people"

    def measures(self, picture, painter: identity_methods.Painter):
        import numpy as np
        from ensemble_portraits.ensemble.leak.measure import measure
        from ensemble_portraits.ensemble.pictures import to_bytes

        from dolls.world.reading import looks

        scene = painter.stage.scene
        scores = looks(to_bytes(picture[0]).numpy(), scene, range(len(scene.people)))
        places = [place for place, row in enumerate(scores) if row.max() >= SEEN]
        return measure(np.array(scores[places]).reshape(-1, len(scene.people)), places, SAME)


@dataclass(frozen=True)
class Faces:
    """The leak meter: a detector, an embedder, and a picture of each person."""

    references: list[Any]
    detector: str
    settings: Any

    @property
    def title(self) -> str:
        from ensemble_portraits.ensemble.leak.registry import choose

        return choose(self.settings.embedder).embedder.title

    @staticmethod
    def of(kit: identity_methods.Kit, args, side: int) -> Faces:
        """References as given, else each person alone, painted with their LoRA in the weights."""
        from ensemble_portraits.ensemble.faces.choices import Source
        from ensemble_portraits.ensemble.leak.meter import MeterSettings, Reference
        from ensemble_portraits.ensemble.leak.registry import choose

        try:
            choose(args.embedder)  # before anything is painted
        except ValueError as error:
            raise SystemExit(str(error)) from error
        settings = MeterSettings(embedder=args.embedder, source=Source(args.detector))
        pictures = [_read(file) for file in args.reference] or list(_alone(kit, side))
        references = [Reference(f"person {i}", [p]) for i, p in enumerate(pictures, 1)]
        return Faces(references, args.detector, settings)

    def measures(self, picture, painter: identity_methods.Painter):
        from ensemble_portraits.ensemble.faces.detect import Sources
        from ensemble_portraits.ensemble.leak.meter import read_leak

        pose = painter.stage.pose() if self.detector == "pose" else None
        people = painter.people.people
        known = self.references[: len(people)]
        return (
            read_leak(picture, known, people, Sources(pose=pose), self.settings)
            .pictures[0]
            .measures
        )


def _read(file):
    import numpy as np
    import torch
    from PIL import Image

    pixels = np.asarray(Image.open(file).convert("RGB")).astype(np.float32) / 255
    return torch.from_numpy(pixels)[None]


def _alone(kit: identity_methods.Kit, side: int):
    from dataclasses import replace

    where = identity_scenes.stage(1, "apart", side, 0)
    for text, lora in zip(kit.texts, kit.loras, strict=True):
        painter = identity_methods.Painter(replace(kit, texts=(text,), loras=(lora,)), where)
        yield painter.picture(painter.merged([1.0], ALONE))


def contact_sheet(rows: list[dict], pictures: list, methods: list[str]):
    """A row for each method, a column for each number of people and layout; seed 0."""
    from ensemble_portraits.ensemble.pictures import to_bytes
    from PIL import Image, ImageDraw

    cases = list(dict.fromkeys((row["people"], row["layout"]) for row in rows))
    tall, top = 192, 18
    shown = [Image.fromarray(to_bytes(p[0]).numpy()) for p in pictures]
    shown = [p.resize((round(p.width * tall / p.height), tall)) for p in shown]
    widths = [
        max(p.width for p, r in zip(shown, rows, strict=True) if (r["people"], r["layout"]) == case)
        for case in cases
    ]
    sheet = Image.new("RGB", (sum(widths) + 6 * len(widths), len(methods) * (tall + top)), "white")
    pen = ImageDraw.Draw(sheet)
    for picture, row in zip(shown, rows, strict=True):
        column = cases.index((row["people"], row["layout"]))
        x, y = sum(widths[:column]) + 6 * column, methods.index(row["method"]) * (tall + top)
        share = "-" if row["right_share"] is None else f"{row['right_share']:.2f}"
        title = f"{row['method']}, {row['people']} {row['layout']}, right {share}"
        pen.text((x + 2, y + 3), title, fill="black")
        sheet.paste(picture, (x, y + top))
    return sheet
