"""Does person i's LoRA show in person j's region? A matrix per method.

    python dev bench leakage [--quick] [--json FILE] [--picture FILE]

Three people in columns with hard borders. Each LoRA's effect is the difference between a run with it
alone and a run without any; its size in region j is the root mean square over the latent there, in
parts of its size in its own region. Two kinds of LoRA on an SD1.5-shaped UNet with random weights (two
levels, 320 channels): `output` changes the last convolution, so that each shifts one latent channel
by a known direction; `attention` changes the layers of a standard kohya LoRA. Methods: fused, exact,
core's hooks, and one globally merged multi-LoRA with regional texts.

Random attention looks at all tokens alike, which is the worst case for `attention` in fused: there
people share self-attention and normalisation.
"""

from __future__ import annotations

import dataclasses

import engine
import regional

PEOPLE, WIDTH, HEIGHT, STEPS = 3, 192, 128, 4
SIZE = (WIDTH, HEIGHT)
METHODS = ("fused", "exact", "core_hooks", "merged")
KINDS = {"output": r"^out\.2\.weight$", "attention": engine.TOUCHED}


def small_config() -> dict:
    return {
        **engine.SD15, "num_res_blocks": [1, 1], "channel_mult": [1, 1], "transformer_depth": [1, 1],
        "transformer_depth_output": [1, 1, 1, 1],
    }  # fmt: skip


def lora(patcher, kind: str, person: int, size: float) -> dict:
    """`output`: channel `person` gets what one random filter of the last features says."""
    import torch

    if kind == "attention":
        return engine.random_lora(patcher, 50 + person, 8, size)
    weight = patcher.model.diffusion_model.out[2].weight
    generator = torch.Generator().manual_seed(50 + person)
    down = torch.randn(1, *weight.shape[1:], generator=generator) / weight[0].numel() ** 0.5
    up = torch.zeros(weight.shape[0], 1, 1, 1)
    up[person] = 1.0
    key = "diffusion_model.out.2"
    return {
        f"{key}.lora_down.weight": down, f"{key}.lora_up.weight": up, f"{key}.alpha": torch.tensor(1.0),
    }  # fmt: skip


class Runs:
    """Runs the scene with the given strengths, by each method, from the same noise."""

    def __init__(self, patcher, kind: str, size: float, people=PEOPLE, picture=SIZE):
        self.scene = regional.Scene(patcher, "sd15", picture[0], picture[1], 4, people, feather=0.0)
        self.scene.loras = [lora(patcher, kind, i, size) for i in range(people)]
        self.patcher, self.people = patcher, people

    def __call__(self, method: str, strengths: list[float]):
        model, positive, negative = getattr(self, method)(strengths)
        return engine.sample(model, positive, negative, self.scene.noise, STEPS, cfg=3.0)

    def fused(self, strengths):
        return self._ours("fused", strengths)

    def exact(self, strengths):
        return self._ours("exact", strengths)

    def core_hooks(self, strengths):
        return self.scene.core_hooks(strengths)

    def merged(self, strengths):
        model = self.patcher.clone()
        for i, strength in enumerate(strengths):
            model.add_patches(self.scene.parsed(i), strength)
        return self._ours("fused", [0.0] * self.people, model)

    def _ours(self, method: str, strengths, model=None):
        from ensemble_portraits.ensemble.regional.build import build
        from ensemble_portraits.ensemble.regional.changes import LoraPatch

        scene = self.scene.scenes[method]
        people = tuple(
            dataclasses.replace(
                p, patches={k: (LoraPatch(v, s),) for k, v in self.scene.parsed(i).items()}
            )
            for i, (p, s) in enumerate(zip(scene.people, strengths, strict=True))
        )
        scene = dataclasses.replace(scene, people=people, model=model or self.patcher)
        return build(scene)[:3]


def matrix(runs: Runs, method: str):
    """`[N,N]`: row i is the effect of person i's LoRA in every region, its own being 1; as the pack's
    own node measures it."""
    import torch
    from ensemble_portraits.ensemble.leak.effects import effect_matrix

    masks = runs.scene.scenes["fused"].masks
    effects = effect_matrix(lambda strengths, seed: runs(method, list(strengths)), masks, [0])
    return torch.from_numpy(effects.tables[0])


def off_diagonal(effects) -> float:
    people = len(effects)
    return float((effects.sum() - effects.diag().sum()) / (people * (people - 1)))


def draw(matrices: dict, path: str) -> None:
    """Each matrix as squares: white is none of the effect, black all of it."""
    from PIL import Image, ImageDraw

    cell, gap, top = 60, 30, 24
    kinds = sorted({kind for kind, _ in matrices})
    side = PEOPLE * cell
    image = Image.new(
        "RGB",
        (len(METHODS) * (side + gap) + gap, len(kinds) * (side + top + gap) + gap),
        "white",
    )
    pen = ImageDraw.Draw(image)
    for (kind, method), effects in matrices.items():
        x0 = gap + METHODS.index(method) * (side + gap)
        y0 = gap + kinds.index(kind) * (side + top + gap)
        pen.text((x0, y0 - 14), f"{kind}: {method}", fill="black")
        for i in range(PEOPLE):
            for j in range(PEOPLE):
                shade = int(255 * (1 - min(1.0, float(effects[i, j]))))
                box = (
                    x0 + j * cell,
                    y0 + i * cell,
                    x0 + (j + 1) * cell - 2,
                    y0 + (i + 1) * cell - 2,
                )
                pen.rectangle(box, fill=(shade,) * 3, outline="grey")
                ink = "white" if shade < 128 else "black"
                pen.text((box[0] + 16, box[1] + 22), f"{float(effects[i, j]):.2f}", fill=ink)
    image.save(path)


def main(argv: list[str] | None = None) -> None:
    parser = engine.options(__doc__, "the output kind only")
    parser.add_argument("--picture", metavar="FILE", help="draw the matrices into this PNG")
    args = parser.parse_args(argv)
    engine.load()
    import torch

    rows, matrices = [], {}
    with torch.inference_mode():
        patcher = engine.full_size("sd15", small_config())
        for kind in ["output"] if args.quick else KINDS:
            runs = Runs(patcher, kind, size=0.05)
            for method in METHODS:
                effects = matrix(runs, method)
                matrices[kind, method] = effects
                rows.append({
                    "lora": kind, "method": method, "off_diagonal": off_diagonal(effects),
                    "largest": float((effects - torch.eye(len(effects))).max()),
                })  # fmt: skip
    hooks = {r["lora"]: r["off_diagonal"] for r in rows if r["method"] == "core_hooks"}
    for row in rows:
        row["over_hooks"] = row["off_diagonal"] / hooks[row["lora"]]
    columns = ["lora", "method", "off_diagonal", "largest", "over_hooks"]
    engine.report(rows, columns, args.json)
    if args.picture:
        draw(matrices, args.picture)


if __name__ == "__main__":
    main()
