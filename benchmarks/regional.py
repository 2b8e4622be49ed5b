"""What N people with a LoRA each cost: plain (one merged LoRA), core's hooks, exact and fused.

    python dev bench regional [--quick] [--json FILE] [--model sd15|sdxl] [--size 384x256]
                              [--people 1 2 4] [--ranks 16]
                              [--methods plain core_hooks exact fused isolated followed]
                              [--freefuse DIR] [--prompt-control DIR]
                              [--family NAME [--full] [--dtype float32|bfloat16]]
                              [--clock wall|processor]

`plain` is one LoRA merged by core's LoraLoader path with the base prompt and one negative;
`core_hooks` hooks every person's positive and negative. The peers are described in peers.py. Full-size
UNet, random weights, batch 1, CFG 7, euler. Steps from the second on count; the methods run in turn,
so ratios hold when the machine's speed drifts.

`--family` measures a DiT family of dits.py instead, at real widths and CFG 1 (one row, as its
distilled models run), by default at 1024x1024: one or two blocks of each kind, with `--full` all of
them, with torch's attention for every method, as on NVIDIA cards. `--clock processor` counts the process's own time, for a machine that others use too.
"""

from __future__ import annotations

import dataclasses

import dits
import engine
import peers

METHODS = ("plain", "core_hooks", "exact", "fused", "isolated", "followed")
STEPS = {"core_hooks": 4, "exact": 4}
COLUMNS = [
    "model", "family", "width", "height", "rank", "people", "method", "seconds_per_step", "over_plain",
    "model_calls_per_step", "first_step_seconds", "peak_memory_bytes",
]  # fmt: skip


class Scene:
    """The same people for every method: columns side by side, a text and a LoRA each."""

    def __init__(
        self, patcher, model: str, width: int, height: int, rank: int, people: int, feather=0.06
    ):
        import torch
        from ensemble_portraits.ensemble.regional.people import Method
        from ensemble_portraits.ensemble.regions.layout import Layout, lay_out
        from ensemble_portraits.ensemble.regions.weights import region_weights

        self.patcher, self.people = patcher, people
        self.strengths = [1.0] * people
        shape = dits.shape_of(model)
        self.cfg = shape.cfg
        self.loras = [
            engine.random_lora(patcher, 1 + i, rank, touched=shape.touched) for i in range(people)
        ]
        masks = lay_out(people, Layout.COLUMNS, feather)
        self.weights = region_weights(masks, 0.2)
        parsed = [self.parsed(i) for i in range(people)]
        self.scenes = {
            method.value: engine.random_people(patcher, model, parsed, masks, method=method)
            for method in Method
        }
        generator = torch.Generator().manual_seed(7)
        sides = (height // shape.ratio, width // shape.ratio)
        frames = (1,) if shape.frames else ()
        self.noise = torch.randn(1, shape.channels, *frames, *sides, generator=generator)

    def parsed(self, i: int) -> dict:
        return engine.parsed(self.patcher, self.loras[i])

    def plain(self):
        model = self.patcher.clone()
        model.add_patches(self.parsed(0), 1.0)
        scene = self.scenes["fused"]
        return model, scene.base.conditioning, scene.negative.conditioning

    def core_hooks(self, strengths: list[float] | None = None):
        return hooked(self.scenes["fused"], self.loras, strengths or [1.0] * self.people)

    def reduced(self, mask, height: int, width: int):
        """The mask `[H,W]` at the latent's size."""
        from ensemble_portraits.ensemble.regions.weights import reduce_to

        return reduce_to(mask[None], height, width)[0]

    def token_places(self, i: int) -> list[int]:
        """Where a person's words would stand in one text for all."""
        return list(range(1 + 5 * i, 6 + 5 * i))

    def whole_text(self) -> list:
        return self.scenes["fused"].base.conditioning

    def exact(self):
        return self._ours("exact")

    def fused(self):
        return self._ours("fused")

    def isolated(self):
        """`fused` with the isolation window closed over all steps."""
        from ensemble_portraits.ensemble.regional.isolation import Isolation

        fused = self.scenes["fused"]
        self.scenes["isolated"] = dataclasses.replace(fused, isolation=Isolation(1.0))
        return self._ours("isolated")

    def followed(self):
        """`fused` whose regions are drawn in at every step."""
        from ensemble_portraits.ensemble.regional.follow import Follow, Follower

        fused = self.scenes["fused"]
        heads = [None] * len(fused.people)
        boxes = fused.masks.clone()
        boxes[:, : boxes.shape[1] // 4] = 0  # columns leave no scenery, and nothing to draw in
        fused = fused.with_masks(boxes)
        follower = Follower(Follow(1.0), fused.masks, heads)
        self.scenes["followed"] = dataclasses.replace(fused, follower=follower)
        return self._ours("followed")

    def _ours(self, method: str):
        from ensemble_portraits.ensemble.regional.build import build

        return build(self.scenes[method])[:3]


def hooked(people, loras: list[dict], strengths: list[float]):
    """PEOPLE by core alone: the same weights as masks, and everybody's LoRA (as a file's tensors) as
    a hook on their positive and their negative. Model, positive, negative."""
    import comfy.hooks
    from ensemble_portraits.ensemble.regions.weights import region_weights

    weights = region_weights(people.masks, people.base_strength)
    hooks = [
        comfy.hooks.create_hook_lora(lora=lora, strength_model=strength, strength_clip=0.0)
        for lora, strength in zip(loras, strengths, strict=True)
    ]

    def side(base, texts):
        out = []
        for weight, text, hook in zip(weights, [base, *texts], [None, *hooks], strict=True):
            extra = {"mask": weight[None], "mask_strength": 1.0}
            if hook is not None:
                extra["hooks"] = hook
            out += [[context, {**values, **extra}] for context, values in text.conditioning]
        return out

    return (
        people.model.clone(),
        side(people.base, [p.positive for p in people.people]),
        side(people.negative, [p.negative for p in people.people]),
    )


def measure(
    scene: Scene,
    methods,
    rounds: int,
    steps: dict[str, int],
    facts: dict,
    folders: dict | None = None,
) -> list[dict]:
    results = {m: {"later": [], "first": [], "calls": [], "bytes": []} for m in methods}
    unet = scene.patcher.model.diffusion_model

    def run(method: str):
        folder = (folders or {}).get(method)
        build = getattr(peers, method) if folder else getattr(scene, method)
        model, positive, negative = build(scene, folder) if folder else build()
        count = steps.get(method, steps["default"])
        with engine.counted(unet) as calls, engine.peak_memory() as memory:
            times = engine.timed_sample(
                model, positive, negative, scene.noise, count, cfg=scene.cfg, clock=facts["clock"]
            )
        result = results[method]
        result["later"] += times[1:]
        result["first"].append(times[0])
        result["calls"].append(len(calls) / count)
        result["bytes"].append(memory["bytes"])

    engine.interleaved({m: (lambda m=m: run(m)) for m in methods}, rounds)
    rows = []
    plain = engine.median(results["plain"]["later"]) if "plain" in methods else float("nan")
    for method, result in results.items():
        seconds = engine.median(result["later"])
        rows.append({
            **facts, "people": scene.people, "method": method, "seconds_per_step": seconds,
            "over_plain": seconds / plain, "model_calls_per_step": result["calls"][-1],
            "first_step_seconds": engine.median(result["first"]),
            "peak_memory_bytes": max(result["bytes"]),
        })  # fmt: skip
    return rows


def main(argv: list[str] | None = None) -> None:
    parser = engine.options(__doc__, "one round, two people, rank 16")
    parser.add_argument("--model", choices=("sd15", "sdxl"), default="sd15")
    parser.add_argument("--family", choices=sorted(dits.FAMILIES), help="a DiT family instead")
    parser.add_argument("--full", action="store_true", help="all blocks of the family")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), help="of the family's model")
    parser.add_argument("--clock", choices=("wall", "processor"), default="wall")
    parser.add_argument("--size", help="384x256, with --family 1024x1024")
    parser.add_argument("--people", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--ranks", type=int, nargs="+", default=[16])
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--freefuse", metavar="DIR", help="folder of the FreeFuse pack")
    parser.add_argument("--prompt-control", metavar="DIR", help="folder of comfyui-prompt-control")
    args = parser.parse_args(argv)
    named = {"freefuse": args.freefuse, "prompt_control": args.prompt_control}
    folders = {name: folder for name, folder in named.items() if folder}
    methods = [*args.methods, *folders]
    if args.quick:
        args.people, args.ranks, args.rounds, args.steps = [2], args.ranks[:1], 1, 4
    engine.load(pytorch_attention=bool(args.family))
    import torch

    size = args.size or ("1024x1024" if args.family else "384x256")
    width, height = map(int, size.split("x"))
    rows: list[dict] = []
    with torch.inference_mode():
        if args.family:
            patcher = dits.model(dits.FAMILIES[args.family], args.full, args.dtype)
        else:
            patcher = engine.full_size(args.model)
        for rank in args.ranks:
            for people in args.people:
                model = args.family or args.model
                facts = {
                    "model": model, "family": args.family or "", "width": width,
                    "height": height, "rank": rank, "clock": args.clock, "full": args.full,
                    "dtype": args.dtype or "",
                }  # fmt: skip
                scene = Scene(patcher, model, width, height, rank, people)
                # A step of a family at 1024x1024 is long, and those of these methods are alike.
                most = {m: 2 for m in STEPS} if args.family else STEPS
                steps = {m: min(n, args.steps) for m, n in most.items()}
                steps["default"] = args.steps
                rows += measure(scene, methods, args.rounds, steps, facts, folders)
                print(engine.table(rows[-len(methods) :], COLUMNS), flush=True)
    print(
        f"\n{torch.get_num_threads()} threads, {'CUDA' if torch.cuda.is_available() else 'CPU'}\n"
    )
    engine.report(rows, COLUMNS, args.json)


if __name__ == "__main__":
    main()
