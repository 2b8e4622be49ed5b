"""Does the taught model draw what it is asked for? Words and poses of single people, read off the pictures.

    python dev bench taught [--quick] [--json FILE] [--picture FILE] [--seeds 40] [--steps 20] [--cfg 4]

Each seed is a scene of the drawn world that the model was not taught: its words, its skeleton through the
ControlNet, core's KSampler. `words` is the share of parts (hair, shirt, legs) whose colour is the asked one;
`away` how far from their places parts are drawn, in pixels and in widths of a head; 24 pixels is `not found`.
The row `drawing` is the reader's own error: the program's drawing of the same scenes.
"""

from __future__ import annotations

import os
import random
from pathlib import Path

import engine

COLUMNS = ["painted", "words", "hair", "shirt", "legs", "away_pixels", "away_heads", "seeds"]
UNSEEN = 91_000_000
"""Seeds from here on are nobody's training."""


def options():
    parser = engine.options(__doc__, "four seeds, eight steps")
    parser.add_argument("--picture", metavar="FILE", type=Path, help="a contact sheet as PNG")
    parser.add_argument("--seeds", type=int, default=40)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--cfg", type=float, default=4.0)
    return parser


def scenes(count: int) -> list:
    from dolls.world import make_scene

    rngs = (random.Random(UNSEEN + seed) for seed in range(count))
    return [make_scene(rng, count=1, shape="portrait", scale=0.75) for rng in rngs]


class Sampler:
    """Paints a scene by its words and its skeleton."""

    def __init__(self, steps: int, cfg: float):
        from dolls import in_core

        self.dolls, self.steps, self.cfg = in_core.load(), steps, cfg

    def paint(self, scene, seed: int, strength: float):
        """RGB uint8 `[H,W,3]`. strength: of the ControlNet."""
        import numpy as np
        import torch

        from dolls.world import skeleton
        from nodes import CLIPTextEncode, ControlNetApplyAdvanced, common_ksampler

        d = self.dolls
        sides = [CLIPTextEncode().encode(d.clip, text)[0] for text in (scene.caption(), "")]
        pose = torch.from_numpy(np.asarray(skeleton(scene)).astype(np.float32) / 255)[None]
        sides = ControlNetApplyAdvanced().apply_controlnet(
            *sides, d.control, pose, strength, 0.0, 1.0, d.vae
        )
        width, height = scene.size
        empty = {"samples": torch.zeros(1, 4, height // 8, width // 8)}
        (latent,) = common_ksampler(
            d.model, seed, self.steps, self.cfg, "euler", "normal", *sides, empty
        )
        return (d.vae.decode(latent["samples"])[0].clamp(0, 1) * 255).round().byte().numpy()


def row(painted: str, drawn: list, asked: list) -> dict:
    """drawn: pictures, of the scenes `asked`."""
    from dolls.world.reading import displacement, parts, word_of

    hits: dict[str, list[bool]] = {"hair": [], "shirt": [], "legs": []}
    away, heads = [], []
    for picture, scene in zip(drawn, asked, strict=True):
        left, _, right, _ = scene.people[0].head_box
        for part in parts(scene)[0]:
            hits[part.name].append(word_of(picture, part) == part.word)
            away.append(displacement(picture, part))
            heads.append(away[-1] / (right - left))
    share = lambda found: sum(found) / len(found) if found else None  # noqa: E731
    return {
        "painted": painted, "words": share([hit for found in hits.values() for hit in found]),
        **{name: share(found) for name, found in hits.items()},
        "away_pixels": share(away), "away_heads": share(heads), "seeds": len(asked),
    }  # fmt: skip


def sheet(columns: list[list]):
    """A row of pictures for each way of painting."""
    import numpy as np
    from PIL import Image

    return Image.fromarray(np.concatenate([np.concatenate(each, 1) for each in columns], 0))


def main(argv: list[str] | None = None) -> None:
    args = options().parse_args(argv)
    if args.quick:
        args.seeds, args.steps = min(args.seeds, 4), min(args.steps, 8)
    engine.load(os.environ.get("ENSEMBLE_BASE"))
    import numpy as np
    import torch

    from dolls.world import draw

    asked = scenes(args.seeds)
    with torch.inference_mode():
        sampler = Sampler(args.steps, args.cfg)
        painted = {
            "drawing": [np.asarray(draw(scene)) for scene in asked],
            **{
                f"control {strength:g}": [
                    sampler.paint(scene, seed, strength) for seed, scene in enumerate(asked)
                ]
                for strength in (1.0, 0.0)
            },
        }
    rows = [row(name, pictures, asked) for name, pictures in painted.items()]
    engine.report(rows, COLUMNS, args.json)
    if args.picture:
        sheet([pictures[:8] for pictures in painted.values()]).save(args.picture)


if __name__ == "__main__":
    main()
