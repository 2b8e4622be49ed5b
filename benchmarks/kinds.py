"""What a step costs by the kind of people's files, beside LoRAs of the same file size.

    python dev bench kinds [--quick] [--json FILE] [--model sd15|sdxl] [--family NAME]
                           [--size 384x256] [--people 2] [--kinds lokr8 lokr16 loha4 ...]

method = fused. For every kind the same people have, in turn: no LoRAs, files of that kind, LoRAs of
as many numbers layer by layer. `over_lora` is the step with that kind over the step with those
LoRAs, `added_over_lora` what each adds to a step without any. The process's own clock, since
machines are shared; steps from the second on, medians. Random weights; see regional.py for models.
"""

from __future__ import annotations

import re

import dits
import engine
import regional

AIM = 1.5
"""A step with LoKr or LoHa over one with LoRAs of equal file size, at most."""
KINDS = ("lokr8", "lokr16", "loha4", "loha8", "loha16", "oft32", "dora16")
COLUMNS = [
    "model", "people", "kind", "file_mb", "held_mb", "seconds_without", "seconds_lora", "seconds_kind",
    "over_lora", "added_over_lora", "aim",
]  # fmt: skip


def file_of(layers: dict, kind: str, seed: int) -> dict:
    """A file of that kind; its number is LoKr's factor, LoHa's or DoRA's rank, OFT's block."""
    import torch
    from comfy.weight_adapter.base import factorization

    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int):
        return torch.randn(*shape, generator=generator) * 0.02

    name, number = re.fullmatch(r"([a-z]+)(\d+)", kind).groups()  # type: ignore[union-attr]
    number, state = int(number), {}
    for layer, (rows, columns, *kernel) in layers.items():
        ones = [1] * len(kernel)
        if name == "lokr":
            (left, below), (inner, beside) = (factorization(n, number) for n in (rows, columns))
            parts = {"lokr_w1": draw(left, inner), "lokr_w2": draw(below, beside, *kernel)}
        elif name == "loha":
            parts = {f"hada_w{i}_a": draw(rows, number) for i in (1, 2)}
            parts |= {f"hada_w{i}_b": draw(number, columns) for i in (1, 2)}
        elif name == "oft":
            parts = {"oft_blocks": draw(rows // number, number, number)}
        else:
            parts = {
                "lora_down.weight": draw(number, columns, *kernel),
                "lora_up.weight": draw(rows, number, *ones),
                "dora_scale": draw(rows, 1, *ones).abs() + 1,
            }
        state |= {f"{layer}.{part}": tensor for part, tensor in parts.items()}
    return state


def lora_of_size(layers: dict, like: dict, seed: int) -> dict:
    """LoRAs of as many numbers as `like` has, layer by layer."""
    import torch

    sizes = dict.fromkeys(layers, 0)
    for key, tensor in like.items():
        layer = next(n for n in (key.rpartition(".")[0], key.rsplit(".", 2)[0]) if n in sizes)
        sizes[layer] += tensor.numel()
    state = {}
    for index, (layer, shape) in enumerate(layers.items()):
        rank = max(1, round(sizes[layer] / (shape[0] + torch.Size(shape[1:]).numel())))
        state |= engine.lora_of({layer: shape}, seed + index, rank, 0.02)
    return state


class Contest(regional.Scene):
    """The people of the other benchmark, with files as given."""

    model_name: str

    def with_files(self, files: list[dict]):
        from ensemble_portraits.ensemble.regional.build import build, prepare
        from ensemble_portraits.ensemble.regional.people import Method

        parsed = [engine.parsed(self.patcher, file) for file in files]
        masks = self.scenes["fused"].masks
        people = engine.random_people(
            self.patcher, self.model_name, parsed, masks, method=Method.FUSED
        )
        ready = prepare(people)
        held = sum(p.numel() * p.element_size() for p in ready.adapters.parameters())
        return build(people, ready)[:3], held


def measure(scene: Contest, layers: dict, kind: str, rounds: int, steps: int) -> dict:
    people = range(scene.people)
    files = [file_of(layers, kind, 100 + i) for i in people]
    loras = [lora_of_size(layers, files[i], 200 + i) for i in people]
    runs, held = {}, {}
    for name, own in (("without", [{}] * len(files)), ("lora", loras), ("kind", files)):
        runs[name], held[name] = scene.with_files(own)
    seconds: dict[str, list[float]] = {name: [] for name in runs}

    def run(name: str) -> None:
        model, positive, negative = runs[name]
        times = engine.timed_sample(
            model, positive, negative, scene.noise, steps, cfg=scene.cfg, clock="processor"
        )
        seconds[name] += times[1:]

    engine.interleaved({name: (lambda name=name: run(name)) for name in runs}, rounds)
    without, lora, own = (engine.median(seconds[name]) for name in ("without", "lora", "kind"))
    return {
        "people": scene.people, "kind": kind,
        "file_mb": sum(t.numel() * 2 for t in files[0].values()) / 1e6, "held_mb": held["kind"] / 1e6,
        "seconds_without": without, "seconds_lora": lora, "seconds_kind": own,
        "over_lora": own / lora, "added_over_lora": (own - without) / max(lora - without, 1e-9),
        "aim": AIM,
    }  # fmt: skip


def main(argv: list[str] | None = None) -> None:
    parser = engine.options(__doc__, "one round, LoKr 8 and LoHa 4")
    parser.add_argument("--model", choices=("sd15", "sdxl"), default="sd15")
    parser.add_argument("--family", choices=sorted(dits.FAMILIES), help="a DiT family instead")
    parser.add_argument("--size", help="384x256, with --family 1024x1024")
    parser.add_argument("--people", type=int, default=2)
    parser.add_argument("--kinds", nargs="+", default=list(KINDS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=4)
    args = parser.parse_args(argv)
    if args.quick:
        args.kinds, args.rounds, args.steps = ["lokr8", "loha4"], 1, 3
    engine.load(pytorch_attention=bool(args.family))
    import torch

    usual = "1024x1024" if args.family else "384x256"
    width, height = (int(side) for side in (args.size or usual).split("x"))
    rows = []
    with torch.inference_mode():
        name = args.family or args.model
        patcher = dits.model(dits.FAMILIES[name], False) if args.family else engine.full_size(name)
        scene = Contest(patcher, name, width, height, 4, args.people)
        scene.model_name = name
        layers = {
            f"diffusion_model.{n.removesuffix('.weight')}": tuple(weight.shape)
            for n, weight in patcher.model.diffusion_model.named_parameters()
            if re.search(dits.shape_of(name).touched, n)
        }
        for kind in args.kinds:
            rows.append({"model": name, **measure(scene, layers, kind, args.rounds, args.steps)})
            print(engine.table(rows[-1:], COLUMNS), flush=True)
    engine.report(rows, COLUMNS, args.json)


if __name__ == "__main__":
    main()
