"""What carries a person's LoRA into another's region, one path closed at a time.

    python dev bench leak_paths [--quick] [--json FILE] [--people 3] [--size 192x128]

As `leakage`, kind `attention`, method fused, on an SD1.5-shaped UNet with random weights: the mean effect
of a LoRA in others' regions, in parts of its effect in its own, with these paths closed:

    attention     self-attention by the isolation window (`isolate` = 1 over all steps), as users have it
    norms         GroupNorm takes its statistics from each region alone (here only, for measuring)
    convolutions  3x3 convolutions do not reach across borders (here only)
    base text     the scene's text says nothing inside people's regions (`base_strength` = 0)
    regions       everything closed
"""

from __future__ import annotations

import contextlib
import dataclasses

import engine
import leakage

PATHS = ("attention", "norms", "convolutions", "base text")
CASES = ((), *((path,) for path in PATHS), ("attention", "norms"),
         ("attention", "convolutions"), ("attention", "norms", "convolutions"), PATHS)  # fmt: skip


@contextlib.contextmanager
def closed(unet, masks, norms: bool, convolutions: bool):
    """GroupNorms and convolutions of this UNet work region by region."""
    import torch

    def at(x):
        return torch.nn.functional.adaptive_avg_pool2d(masks[None], x.shape[-2:])[0].round()

    def norm(layer, forward):
        def by_region(x):
            out = torch.zeros_like(x)
            for mask in at(x):
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
            parts = [forward(x * mask, *args, **kwargs) for mask in at(x)]
            return sum(part * mask for part, mask in zip(parts, at(parts[0]), strict=True))

        return by_region

    changed = []
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


def main(argv: list[str] | None = None) -> None:
    parser = engine.options(__doc__, "the paths alone, without their sums")
    parser.add_argument("--people", type=int, default=leakage.PEOPLE)
    parser.add_argument("--size", default="192x128", help="of the picture, px")
    args = parser.parse_args(argv)
    size = tuple(int(side) for side in args.size.split("x"))
    engine.load()
    import torch
    from ensemble_portraits.ensemble.regional.isolation import Isolation

    rows = []
    with torch.inference_mode():
        patcher = engine.full_size("sd15", leakage.small_config())
        runs = leakage.Runs(patcher, "attention", size=0.05, people=args.people, picture=size)
        hooks = leakage.off_diagonal(leakage.matrix(runs, "core_hooks"))
        plain = runs.scene.scenes["fused"]
        for case in CASES[:5] if args.quick else CASES:
            runs.scene.scenes["fused"] = dataclasses.replace(
                plain, isolation=Isolation(float("attention" in case)),
                base_strength=0.0 if "base text" in case else plain.base_strength,
            )  # fmt: skip
            unet = patcher.model.diffusion_model
            with closed(unet, plain.masks, "norms" in case, "convolutions" in case):
                effect = leakage.off_diagonal(leakage.matrix(runs, "fused"))
            rows.append({
                "closed": ", ".join(case) or "nothing", "off_diagonal": effect,
                "over_hooks": effect / hooks,
            })  # fmt: skip
    rows.append({"closed": "core's hooks", "off_diagonal": hooks, "over_hooks": 1.0})
    engine.report(rows, ["closed", "off_diagonal", "over_hooks"], args.json)


if __name__ == "__main__":
    main()
