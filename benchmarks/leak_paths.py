"""What carries a person's LoRA into another's region, one path closed at a time.

    python dev bench leak_paths [--quick] [--json FILE] [--people 3] [--size 192x128]
    python dev bench leak_paths --dolls [--people 2] [--seeds 4] [--steps 14]

As `leakage`, kind `attention`, method fused, on an SD1.5-shaped UNet with random weights; with `--dolls` on the
taught model of drawn people and their LoRAs, with a ControlNet. The mean effect of a LoRA in others' regions,
in parts of its effect in its own, with these paths closed:

    isolate       self-attention and norms by the isolation window, as users have it: `isolate` = 1 over all steps
    attention     the same without the norms
    norms         GroupNorm takes its statistics from each region alone
    convolutions  3x3 convolutions do not reach across borders (here only)
    base text     the scene's text says nothing inside people's regions (`base_strength` = 0)
"""

from __future__ import annotations

import contextlib
import dataclasses
import os

import engine
import leakage

PATHS = ("attention", "norms", "convolutions", "base text")
CASES = ((), ("isolate",), *((path,) for path in PATHS), ("attention", "convolutions"),
         ("attention", "norms", "convolutions"), PATHS)  # fmt: skip


class Random:
    """Random weights; LoRAs of attention layers."""

    def __init__(self, args):
        size = tuple(int(side) for side in args.size.split("x"))
        patcher = engine.full_size("sd15", leakage.small_config())
        self.runs = leakage.Runs(
            patcher, "attention", size=0.05, people=args.people or leakage.PEOPLE, picture=size
        )
        self.unet, self.people = patcher.model.diffusion_model, self.runs.scene.scenes["fused"]
        self.seeds = [0]

    def hooks(self, strengths, seed):
        return self.runs("core_hooks", list(strengths))

    def fused(self, people, strengths, seed):
        self.runs.scene.scenes["fused"] = people
        return self.runs("fused", list(strengths))


class Drawn:
    """The taught drawn people, side by side."""

    def __init__(self, args):
        import identity
        import identity_methods
        import identity_scenes

        people = args.people or 2
        own = identity.options().parse_args(["--people", str(people), "--steps", str(args.steps)])
        refusal = identity.with_dolls(own)
        if refusal:
            raise SystemExit(refusal)
        kit = identity.load_kit(own, True)
        self.painter = identity_methods.Painter(kit, identity_scenes.stage(people, "apart", 192, 0))
        self.unet, self.people = kit.model.model.diffusion_model, self.painter.people
        self.seeds = list(range(args.seeds))

    def hooks(self, strengths, seed):
        return self.painter.core_hooks(strengths, seed)

    def fused(self, people, strengths, seed):
        self.painter.people = people
        return self.painter.fused(strengths, seed)


@contextlib.contextmanager
def usual_norms():
    """The isolation window leaves norms alone."""
    from ensemble_portraits.ensemble.regional.isolated_norms import IsolatedNorms

    usual, IsolatedNorms.replacements = IsolatedNorms.replacements, lambda *_: iter(())
    try:
        yield
    finally:
        IsolatedNorms.replacements = usual


@contextlib.contextmanager
def closed(unet, masks, norms: bool, convolutions: bool):
    """GroupNorms and convolutions of this UNet work region by region; what is nobody's is one more."""
    import torch

    regions = torch.cat([1 - masks.sum(0, keepdim=True).clamp(max=1), masks])

    def at(x):
        own = torch.nn.functional.adaptive_avg_pool2d(regions[None], x.shape[-2:])[0].argmax(0)
        return [(own == i).to(x.dtype) for i in range(len(regions))]

    def norm(layer, forward):
        def by_region(x):
            out = torch.zeros_like(x)
            for mask in filter(torch.any, at(x)):
                count = mask.sum() * x.shape[1] / layer.num_groups
                parts = (x * mask).unflatten(1, (layer.num_groups, -1))
                mean = parts.sum((2, 3, 4), keepdim=True) / count
                apart = (x.unflatten(1, (layer.num_groups, -1)) - mean) * mask
                scale = (apart.pow(2).sum((2, 3, 4), keepdim=True) / count + layer.eps).rsqrt()
                one = (apart * scale).flatten(1, 2)
                one = one * layer.weight[:, None, None] + layer.bias[:, None, None]
                out += one * mask
            return out

        return by_region

    def convolution(layer, forward):
        def by_region(x, *args, **kwargs):
            made = [forward(x * mask, *args, **kwargs) for mask in at(x)]
            return sum(part * mask for part, mask in zip(made, at(made[0]), strict=True))

        return by_region

    changed: list = []
    for layer in unet.modules():
        make = None
        if norms and isinstance(layer, torch.nn.GroupNorm):
            make = norm
        if convolutions and isinstance(layer, torch.nn.Conv2d) and layer.kernel_size != (1, 1):
            make = convolution
        if make:
            layer.forward = make(layer, layer.forward)
            changed.append(layer)
    try:
        yield
    finally:
        for layer in changed:
            del layer.forward


def rows_of(model, cases) -> list[dict]:
    from ensemble_portraits.ensemble.leak.effects import effect_matrix
    from ensemble_portraits.ensemble.regional.isolation import Isolation

    plain = model.people

    def leak(run) -> tuple[float, float | None]:
        return effect_matrix(run, plain.masks, model.seeds).leak

    hooks, spread = leak(model.hooks)
    rows = []
    for case in cases:
        people = dataclasses.replace(
            plain, isolation=Isolation(float("isolate" in case or "attention" in case)),
            base_strength=0.0 if "base text" in case else plain.base_strength,
        )  # fmt: skip
        shut = closed(model.unet, plain.masks, "norms" in case, "convolutions" in case)
        with shut, contextlib.nullcontext() if "isolate" in case else usual_norms():
            effect, half = leak(lambda strengths, seed: model.fused(people, strengths, seed))  # noqa: B023
        rows.append({
            "closed": ", ".join(case) or "nothing", "off_diagonal": effect, "half_95": half,
            "over_hooks": effect / hooks,
        })  # fmt: skip
        print(rows[-1], flush=True)
    last = {"closed": "core's hooks", "off_diagonal": hooks, "half_95": spread, "over_hooks": 1.0}
    return [*rows, last]


def main(argv: list[str] | None = None) -> None:
    parser = engine.options(__doc__, "the paths alone, without their sums")
    parser.add_argument("--dolls", action="store_true", help="on the drawn people's model")
    parser.add_argument("--people", type=int, help="3, with --dolls 2")
    parser.add_argument("--size", default="192x128", help="of the picture, px; without --dolls")
    parser.add_argument("--seeds", type=int, default=4, help="with --dolls")
    parser.add_argument("--steps", type=int, default=14, help="with --dolls")
    args = parser.parse_args(argv)
    engine.load(os.environ.get("ENSEMBLE_BASE"))
    import torch

    with torch.inference_mode():
        model = Drawn(args) if args.dolls else Random(args)
        rows = rows_of(model, CASES[:6] if args.quick else CASES)
    engine.report(rows, ["closed", "off_diagonal", "half_95", "over_hooks"], args.json)


if __name__ == "__main__":
    main()
