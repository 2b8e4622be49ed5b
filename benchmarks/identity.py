"""Who stays themselves? Every way of painting several people with a LoRA each, on the same scenes.

    python dev bench identity [--quick] [--json FILE] [--picture FILE]
        [--checkpoint FILE --lora FILE --lora FILE ... [--text TEXT ...] [--reference FILE ...]
         [--controlnet FILE] [--detector auto|yunet|mediapipe|pose] [--embedder auto|sface|dinov2]]
        [--freefuse DIR] [--prompt-control DIR]
        [--people 1 2 3 4 5] [--layouts apart touching overlapping] [--methods fused exact ...]
        [--seeds 4] [--leak-seeds 3] [--steps 25] [--cfg 4] [--side 192] [--place beach]

With weights of yours: a checkpoint, a LoRA per person, and for each the words that call it up. Whoever
has no reference picture is painted alone with their LoRA first, and compared with that. Without any: the
drawn people of dolls/, whose colours tell who they are. Poses are given: as regions, and by the
ControlNet where there is one. docs/identity.md says what is measured, how, and what it cannot see.
"""

from __future__ import annotations

import atexit
import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

import engine
import identity_methods
import identity_readers
import identity_scenes

COLUMNS = [
    "method", "people", "layout", "right_share", "seen_share", "similarity", "id_conf", "leak", "count_right",
    "model_calls_per_step", "seconds_per_step", "peak_memory_bytes",
]  # fmt: skip


def options():
    parser = engine.options(__doc__, "two people apart, one seed, few steps")
    parser.add_argument("--picture", metavar="FILE", type=Path, help="a contact sheet as PNG")
    for name, about in (
        ("checkpoint", "a checkpoint with CLIP and VAE"),
        ("controlnet", "an OpenPose ControlNet for it"),
    ):
        parser.add_argument(f"--{name}", metavar="FILE", type=Path, help=about)
    parser.add_argument("--lora", metavar="FILE", type=Path, action="append", default=[])
    parser.add_argument("--text", action="append", default=[], help="a person's words, in order")
    parser.add_argument("--reference", metavar="FILE", type=Path, action="append", default=[])
    parser.add_argument("--detector", choices=identity_readers.DETECTORS, default="auto")
    parser.add_argument("--embedder", default="auto")
    parser.add_argument("--people", type=int, nargs="+", default=[1, 2, 3, 4, 5])
    layouts = list(identity_scenes.LAYOUTS)
    parser.add_argument("--layouts", nargs="+", choices=layouts, default=layouts)
    methods = list(identity_methods.METHODS)
    parser.add_argument("--methods", nargs="+", choices=methods, default=methods)
    for peer in identity_methods.PEERS:
        flag = f"--{peer.replace('_', '-')}"
        parser.add_argument(flag, metavar="DIR", help=f"folder of the {peer} pack, for its rows")
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--leak-seeds", type=int, default=3, help="of the seeds, for the leak")
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument("--cfg", type=float, default=4.0)
    parser.add_argument("--side", type=int, help="shorter side in pixels; dolls 192, else 512")
    parser.add_argument("--place", default="beach", help="the scene's words")
    parser.add_argument("--negative", default="")
    return parser


def with_dolls(args) -> str:
    """Fills the drawn people in; the line that says why they cannot be measured, or none."""
    from dolls.weights import SHIPPED

    wanted = max(args.people)
    parts = ["control", *(f"lora_{n + 1}" for n in range(wanted))]
    if not all((SHIPPED / f"{part}.safetensors").is_file() for part in parts):
        return (
            "The drawn people's model has no LoRAs or no ControlNet yet (dolls/README.md, How far it is), so "
            "nobody can be told apart by it: no rows. Give weights of yours: --checkpoint FILE --lora FILE ..."
        )
    args.text = [identity_scenes.drawn_text(n) for n in range(wanted)]
    return ""


def checked(args) -> None:
    """The texts and counts of somebody's own weights. SystemExit with the way out."""
    if args.checkpoint is None or not args.lora:
        sys.exit("Give both: --checkpoint FILE, and --lora FILE for each person.")
    for path in (args.checkpoint, *args.lora, *args.reference, args.controlnet):
        if path is not None and not path.is_file():
            sys.exit(f"{path} is not a file.")
    args.text = args.text or ["a person"] * len(args.lora)
    if len(args.text) != len(args.lora):
        sys.exit(
            f"--text: {len(args.text)} for {len(args.lora)} LoRAs; give one for each, or none."
        )
    if args.reference and len(args.reference) != len(args.lora):
        sys.exit(
            f"--reference: {len(args.reference)} for {len(args.lora)} LoRAs; one for each, or none."
        )
    args.people = [n for n in args.people if n <= len(args.lora)]
    if not args.people:
        sys.exit(f"--people: there are {len(args.lora)} LoRAs; ask for as many people or fewer.")


def named_peers(args) -> dict[str, str]:
    """Folders of the peers that the command line names."""
    found = {peer: getattr(args, peer, None) for peer in identity_methods.PEERS}
    return {peer: folder for peer, folder in found.items() if folder}


def load_kit(args, dolls: bool) -> identity_methods.Kit:
    import comfy.controlnet
    import comfy.sd
    import folder_paths

    if dolls:
        model, clip, vae, control, args.lora = drawn_models()
    else:
        model, clip, vae = comfy.sd.load_checkpoint_guess_config(str(args.checkpoint))[:3]
        control = args.controlnet and comfy.controlnet.load_controlnet(str(args.controlnet))
    for file in args.lora:
        folder_paths.add_model_folder_path("loras", str(file.resolve().parent))
    return identity_methods.Kit(
        model=model, clip=clip, vae=vae, control=control, texts=tuple(args.text),
        loras=tuple(args.lora), place=args.place, negative=args.negative, steps=args.steps,
        counts=identity_scenes.DRAWN_COUNTS if dolls else identity_scenes.COUNTS, cfg=args.cfg,
        peers=named_peers(args),
    )  # fmt: skip


def drawn_models() -> tuple:
    """The drawn people's narrow nets in core's classes, and files of their LoRAs."""
    from safetensors.torch import save_file

    from dolls import in_core

    made = in_core.load()
    folder = Path(tempfile.mkdtemp(prefix="dolls_"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    files = [folder / f"drawn_{n + 1}.safetensors" for n in range(len(made.loras))]
    for file, state in zip(files, made.loras, strict=True):
        save_file(state, str(file))
    return made.model, made.clip, made.vae, made.control, files


class Case:
    """A layout with its people in one pose, painted by a method once for each seed."""

    def __init__(self, painter: identity_methods.Painter, method: str):
        self.painter, self.method = painter, method
        self.paint = getattr(painter, method)
        self.everybody = [1.0] * painter.stage.people

    def timed(self, seed: int) -> tuple:
        """Picture, model calls and seconds a step, bytes."""
        unet, steps = self.painter.kit.model.model.diffusion_model, self.painter.kit.steps
        with engine.counted(unet) as calls, engine.peak_memory() as memory:
            start = time.perf_counter()
            latent = self.paint(self.everybody, seed)
            engine.synchronise()
            seconds = time.perf_counter() - start
        return self.painter.picture(latent), len(calls) / steps, seconds / steps, memory["bytes"]

    def leak(self, seeds: list[int]) -> tuple[float | None, float | None]:
        """The effect of everybody's LoRA in others' regions, and half of its 95 % interval; None where
        nothing can leak."""
        from ensemble_portraits.ensemble.leak.effects import effect_matrix

        if len(self.everybody) < 2 or self.method in identity_methods.WITHOUT_LORAS:
            return None, None
        mean, half = effect_matrix(self.paint, self.painter.people.masks, seeds).leak
        return (None, None) if mean != mean else (mean, half)


def row(case: Case, reader, seeds: list[int], leak_seeds: int) -> tuple[dict, object]:
    """The row of a case, and the first picture of it."""
    runs = [case.timed(seed) for seed in seeds]
    read = [reader.measures(run[0], case.painter) for run in runs]
    # The first run loads and patches.
    later = [run[2] for run in runs[1:]] or [runs[0][2]]
    leak, leak_half = case.leak(seeds[:leak_seeds])
    figures = {name: _mean([getattr(m, name) for m in read]) for name in identity_readers.FIGURES}
    return {
        "method": case.method, "people": len(case.everybody), "layout": case.painter.stage.layout,
        **figures, "seen_share": _mean([1 - len(m.missing) / m.asked for m in read]), "leak": leak,
        "leak_half": leak_half, "model_calls_per_step": runs[0][1],
        "seconds_per_step": engine.median(later), "peak_memory_bytes": max(r[3] for r in runs),
        "seeds": len(seeds), "reader": reader.title,
    }, runs[0][0]  # fmt: skip


def _mean(values: list) -> float | None:
    known = [float(value) for value in values if value is not None]
    return sum(known) / len(known) if known else None


def main(argv: list[str] | None = None) -> None:
    args = options().parse_args(argv)
    if args.quick:
        args.people, args.layouts, args.seeds, args.steps = [2], ["apart"], 1, min(args.steps, 8)
    dolls = args.checkpoint is None and not args.lora
    refusal = with_dolls(args) if dolls else checked(args)
    if refusal:
        print(refusal)
        engine.write_rows([], args.json)
        return
    args.methods = [*args.methods, *named_peers(args)]
    engine.load(os.environ.get("ENSEMBLE_BASE"))
    import torch

    side = args.side or (192 if dolls else 512)
    rows, cells = [], []
    with torch.inference_mode():
        kit = load_kit(args, dolls)
        reader = identity_readers.Drawn() if dolls else identity_readers.Faces.of(kit, args, side)
        for people in args.people:
            for layout in args.layouts[:1] if people == 1 else args.layouts:
                painter = identity_methods.Painter(
                    kit, identity_scenes.stage(people, layout, side, 0)
                )
                for method in args.methods:
                    made, picture = row(
                        Case(painter, method), reader, list(range(args.seeds)), args.leak_seeds
                    )
                    rows.append(made)
                    cells.append(picture)
                    print(json.dumps(made), flush=True)
    engine.report(rows, COLUMNS, args.json)
    if args.picture:
        identity_readers.contact_sheet(rows, cells, args.methods).save(args.picture)


if __name__ == "__main__":
    main()
