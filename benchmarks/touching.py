"""People who touch, painted on the drawn people's model: who is themselves, whose arms are whose, and how
much of what was painted the regions hold.

    python dev bench touching [--quick] [--json FILE] [--picture FILE] [--seeds 4] [--steps 16]
        [--kinds ...] [--methods before now follow core_hooks]

`before`: regions by whole bodies' depth alone, as they were before limbs had owners. `now`: as they are.
`follow`: the same, drawn in to what is painted. `core_hooks`: core's LoRA hooks in the regions of `now`.
All with the same pose (ControlNet), noise, texts and LoRAs: identities 1 and 3, whose hair shares one colour and whose clothes share none.

right: share of the people who can be read off their hair that stand in their place; score: their own,
in parts of what a drawing of them shows. hands: of the hands and elbows that the pose shows over somebody else, the share painted in their
owner's colours. iou: of each person's region with that person as painted, by colours; `regions` as given, and as they were
drawn in. reader: the same reader's IoU on drawings of the scenes, whose pixels are known: what can be
reached. blend: share of people's pixels in a region that wear the other's own colours.
"""

from __future__ import annotations

import json
import os
import random
import sys
from dataclasses import replace
from pathlib import Path

import engine
import identity_methods
import identity_scenes
import numpy as np
from touching_reader import SEEN, as_painted, hair_of_drawing, iou, wardrobe

KINDS = ("holding hands", "one in front", "hug")
METHODS = ("before", "now", "follow", "core_hooks")
PLACE = "meadow"  # of sky and greens, which neither wears
WHO = (0, 2)  # whose clothes share no colour, and whose LoRAs are learned best
COLUMNS = [
    "method", "scene", "right", "score", "hands", "blend", "iou", "iou_drawn_in", "reader", "pictures",
]  # fmt: skip


class Touching(identity_methods.Painter):
    """A scene of `dolls/world/contact.py`, painted by each of METHODS."""

    def __init__(self, kit: identity_methods.Kit, kind: str, number: int, window):
        from dolls.world import contact_scene

        rng = random.Random(f"touching {kind} {number}")
        scene = contact_scene(rng, kind, "landscape", 0.75, WHO)
        # Contact scenes list the farther one first; texts and LoRAs go by identity.
        people = sorted(scene.people, key=lambda p: p.joints[1][0] if p.joints[1] else 0)
        self.order = tuple(p.identity for p in people if p.identity is not None)
        self.drawn = replace(scene, place=PLACE)
        self.window = window
        kit = replace(
            kit, texts=tuple(kit.texts[i] for i in self.order),
            loras=tuple(kit.loras[i] for i in self.order),
        )  # fmt: skip
        super().__init__(kit, identity_scenes.Stage(kind, self.drawn))
        self.now_people = self.people

    def paint(self, method: str, seed: int):
        """Latent, and the regions that it ended with `[N,H,W]`."""
        from ensemble_portraits.ensemble.regional.follow import Follower

        self.people = self.now_people
        if method == "before":
            self.people = self.people.with_masks(self.whole_bodies())
        if method == "follow":
            follower = Follower(
                self.window,
                self.people.masks,
                [p.head for p in self.people.people],
                (),
                self.thin(),
            )
            self.people = replace(self.people, follower=follower)
        way = "core_hooks" if method == "core_hooks" else "fused"
        latent = getattr(self, way)([1.0, 1.0], seed)
        if method == "follow":
            return latent, self.people.follower.regions_of(latent)[0]  # type: ignore[union-attr]
        return latent, self.people.masks

    def bodies(self) -> np.ndarray:
        from dolls.world import bodies

        joints = bodies(self.drawn)
        left = np.argsort([body[1, 0] for body in joints])
        return joints[left]

    def thin(self):
        from ensemble_portraits.ensemble.regional.placement import THIN
        from ensemble_portraits.ensemble.regions.people import body_regions

        return body_regions(self.bodies(), *self.drawn.size, margin=THIN)

    def whole_bodies(self):
        """Regions by the nearest body that none hides, as of 2026-11-27."""
        import torch
        from ensemble_portraits.ensemble.regions import people as regions
        from ensemble_portraits.ensemble.regions.capsules import part_fields
        from ensemble_portraits.ensemble.regions.depth import depth_of, hidden

        width, height = self.drawn.size
        x, y = torch.arange(width) + 0.5, torch.arange(height) + 0.5
        field = part_fields(self.bodies(), x, y, height).amin(1, keepdim=True)
        hides = hidden(field, depth_of(self.bodies(), None, field, (x, y)), 0.06)
        return torch.softmax(regions._against_background(field, hides, 0.3, 0.06), 0)[:-1]

    def truth(self) -> np.ndarray:
        """`[2,H,W]` of the drawing, from left to right."""
        from dolls.world import person_masks

        masks = person_masks(self.drawn)
        whose = [person.identity for person in self.drawn.people]
        return np.stack([masks[whose.index(i)] for i in self.order])


def hands(painter: Touching, pixels: np.ndarray) -> list[float]:
    """1 for every wrist and elbow over the other's trunk that is nearer to its owner's colours."""
    from overlap import _over_another

    joints, truth, found = painter.bodies(), painter.truth(), []
    for me, body in enumerate(joints):
        for joint in (3, 4, 6, 7):
            x, y, score = body[joint]
            inside = score > 0 and truth[me, int(y), int(x)]
            if inside and _over_another(joints, me, (x, y)):
                patch = pixels[int(y) - 2 : int(y) + 3, int(x) - 2 : int(x) + 3].reshape(-1, 3)
                mine, theirs = (wardrobe(painter.order[w])[2:4] for w in (me, 1 - me))
                far = [
                    np.sqrt(((patch[:, None] - kind) ** 2).sum(-1)).min(1).mean()
                    for kind in (mine, theirs)
                ]
                found.append(float(far[0] < far[1]))
    return found


def measures(
    painter: Touching, pixels: np.ndarray, given: np.ndarray, drawn_in: np.ndarray
) -> dict:
    from dolls.world import identity_scores

    right, score = [], []
    people = {p.identity: p for p in painter.drawn.people}
    for who in painter.order:
        scores = identity_scores(pixels, people[who].head_box)
        own = hair_of_drawing(who)
        score.append(scores[who] / own)
        parts = [scores[i] / hair_of_drawing(i) for i in painter.order]
        if max(parts) >= SEEN:
            right.append(float(parts[painter.order.index(who)] == max(parts)))
    seen = as_painted(pixels, painter.order)
    blends = []
    for i, mask in enumerate(given):
        mine = seen[:, mask > 0.7]
        blends.append(mine[1 - i].sum() / max(1, mine.sum()))
    return {
        "right": right, "score": score, "hands": hands(painter, pixels), "blend": blends,
        "iou": [iou(given, seen)], "iou_drawn_in": [iou(drawn_in, seen)],
    }  # fmt: skip


def on_drawing(painter: Touching) -> float:
    """What the reader makes of the drawing, through the model's own VAE, against its pixels."""
    import torch

    from dolls.world import draw

    drawn = torch.from_numpy(np.asarray(draw(painter.drawn)).astype(np.float32) / 255)[None]
    pixels = _pixels(painter.picture(painter.kit.vae.encode(drawn)))
    return iou(as_painted(pixels, painter.order).astype(float), painter.truth())


def _pixels(picture) -> np.ndarray:
    from ensemble_portraits.ensemble.pictures import to_bytes

    return to_bytes(picture[0]).numpy()


def main(argv: list[str] | None = None) -> None:
    parser = engine.options(__doc__, "one scene of a kind, few steps")
    parser.add_argument("--picture", metavar="FILE", type=Path, help="a contact sheet as PNG")
    parser.add_argument("--kinds", nargs="+", default=list(KINDS))
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--steps", type=int, default=16)
    parser.add_argument("--cfg", type=float, default=4.0)
    parser.add_argument("--window", type=float, nargs=2, default=(0.2, 0.5), help="of follow")
    args = parser.parse_args(argv)
    if args.quick:
        args.seeds, args.steps = 1, 6
    args.people, args.place, args.negative = [1 + max(WHO)], PLACE, ""
    import identity

    refusal = identity.with_dolls(args)
    if refusal:
        sys.exit(refusal)
    engine.load(os.environ.get("ENSEMBLE_BASE"))
    import torch

    with torch.inference_mode():
        kit = identity.load_kit(args, True)
        rows, sheet = paint_all(kit, args)
    engine.report(rows, COLUMNS, args.json)
    if args.picture:
        contact_sheet(sheet, args).save(args.picture)


def paint_all(kit, args) -> tuple[list[dict], dict]:
    from ensemble_portraits.ensemble.regional.follow import Follow
    from ensemble_portraits.ensemble.regional.rows import Span

    window = Follow(1.0, Span(*args.window))
    found: dict[tuple[str, str], dict[str, list]] = {}
    sheet = {}
    for number in range(args.seeds):
        for kind in args.kinds:
            painter = Touching(kit, kind, number, window)
            reader = on_drawing(painter)
            for method in args.methods:
                latent, regions = painter.paint(method, number)
                pixels = _pixels(painter.picture(latent))
                given = painter.now_people.masks if method == "follow" else regions
                made = measures(painter, pixels, given.numpy(), regions.numpy())
                made["reader"] = [reader]
                sums = found.setdefault((method, kind), {})
                for name, values in made.items():
                    sums.setdefault(name, []).extend(values)
                sheet[method, kind, number] = pixels
                means = {name: float(np.mean(v)) if v else None for name, v in made.items()}
                print(
                    json.dumps({"method": method, "scene": kind, "seed": number, **means}),
                    flush=True,
                )
    rows = [
        {
            "method": method, "scene": kind,
            **{name: float(np.mean(v)) if v else None for name, v in sums.items()},
            "pictures": args.seeds,
        }
        for (method, kind), sums in sorted(found.items(), key=lambda one: args.kinds.index(one[0][1]))
    ]  # fmt: skip
    return rows, sheet


def contact_sheet(sheet: dict, args):
    """A row for each method; seed 0 of every kind, then seed 1."""
    from PIL import Image, ImageDraw

    cells = [(kind, seed) for seed in range(min(2, args.seeds)) for kind in args.kinds]
    height, width = next(iter(sheet.values())).shape[:2]
    made = Image.new("RGB", (len(cells) * (width + 4), len(args.methods) * (height + 16)), "white")
    pen = ImageDraw.Draw(made)
    for row, method in enumerate(args.methods):
        for column, (kind, seed) in enumerate(cells):
            place = column * (width + 4), row * (height + 16)
            pen.text((place[0] + 2, place[1] + 2), f"{method}: {kind}", fill="black")
            made.paste(Image.fromarray(sheet[method, kind, seed]), (place[0], place[1] + 16))
    return made


if __name__ == "__main__":
    main()
