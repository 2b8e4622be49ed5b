"""How far fused drifts from exact over a run: relative distance of the latent after every step.

    python dev bench distance [--quick] [--json FILE] [--people 1 2 3] [--full]

Same noise, euler, CFG 7, people in feathered columns with a text and a rank-16 LoRA each. With one
person over the whole picture both are the same mathematics, and so equal; with several, exact keeps
their attention apart and fused shares it. A shallow SD1.5-shaped UNet with random weights, or the
full-size one: random attention looks everywhere, so this is an upper bound rather than a forecast.
"""

from __future__ import annotations

import engine
import leakage
import regional

SIZES = {"small": (192, 128), "full": (384, 256)}


def course(scene: regional.Scene, method: str, steps: int) -> list:
    """The denoised latent as the sampler saw it at every step."""
    seen: list = []
    model, positive, negative = getattr(scene, method)()
    engine.sample(
        model, positive, negative, scene.noise, steps,
        callback=lambda step, denoised, x, total: seen.append(x.clone()),
    )  # fmt: skip
    return seen


def distances(scene: regional.Scene, other: str, steps: int) -> list[float]:
    ours, exact = course(scene, other, steps), course(scene, "exact", steps)
    return [float((a - b).norm() / b.norm()) for a, b in zip(ours, exact, strict=True)]


def main(argv: list[str] | None = None) -> None:
    parser = engine.options(__doc__, "two people, four steps")
    parser.add_argument("--people", type=int, nargs="+", default=[1, 2, 3, 4])
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--full", action="store_true", help="the full-size UNet")
    args = parser.parse_args(argv)
    if args.quick:
        args.people, args.steps = [2], 4
    engine.load()
    import torch

    rows = []
    with torch.inference_mode():
        torch.manual_seed(0)
        patcher = engine.full_size("sd15", None if args.full else leakage.small_config())
        width, height = SIZES["full" if args.full else "small"]
        for people in args.people:
            scene = regional.Scene(patcher, "sd15", width, height, 16, people)
            for other in ("core_hooks", "fused"):
                far = distances(scene, other, args.steps)
                rows.append({
                    "people": people, "method": other, "steps": args.steps,
                    "after_a_quarter": far[args.steps // 4 - 1], "halfway": far[args.steps // 2 - 1],
                    "at_the_end": far[-1],
                })  # fmt: skip
    engine.report(rows, list(rows[0]), args.json)


if __name__ == "__main__":
    main()
