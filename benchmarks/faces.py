"""FaceInpaint: four faces in one sampler run against one run per face, and how faces are found.

    python dev bench faces [--quick] [--json FILE] [--model sd15|sdxl] [--size 512] [--faces 1 2 4]
                           [--rank 16] [--steps 8] [--rounds 3] [--small] [--impact DIR] [--detect]

`together` is FaceInpaint's redraw: every face is a batch row with its own text and LoRA. `one_by_one`
is what public detailers do: a clone of the model with that face's LoRA merged, one run, next face.
`impact` is ComfyUI-Impact-Pack's own FaceDetailer on the same crops, masks and merged LoRAs, from the
folder that `--impact` names.
Full-size UNet with random weights (`--small`: a shallow one, to try the benchmark), CFG 7, euler,
denoise 0.5, VAE left out. `--detect` measures recall and precision on group pictures made of
scikit-image's astronaut instead.
"""

from __future__ import annotations

import time
from pathlib import Path

import engine

COLUMNS = [
    "model", "size", "faces", "method", "seconds", "times_together", "sampler_runs", "model_calls",
    "rows", "weight_rewrites", "peak_memory_bytes",
]  # fmt: skip
DETECTED = ["detector", "view", "face_px", "faces", "recall", "precision", "seconds"]
SMALL = {
    "model_channels": 64, "num_res_blocks": [1, 1], "channel_mult": [1, 2],
    "transformer_depth": [1, 1], "transformer_depth_output": [1, 1, 1, 1],
}  # fmt: skip


class LatentOnly:
    """Stands in for a VAE: pictures are already latents' size, so only sampling is measured."""

    def encode(self, pixels):
        import torch.nn.functional as F

        planes = F.avg_pool2d(pixels.movedim(-1, 1), 8)
        return F.pad(planes, (0, 0, 0, 0, 0, 1)) * 2 - 1

    def decode(self, latent):
        import torch.nn.functional as F

        return F.interpolate(latent[:, :3], scale_factor=8.0).movedim(1, -1)


class Scene:
    """Faces in a row, one person and LoRA each."""

    def __init__(
        self, patcher, model: str, size: int, faces: int, rank: int, steps: int, pack=None
    ):
        import torch
        from ensemble_portraits.ensemble.faces.boxes import Face
        from ensemble_portraits.ensemble.faces.crop import Oval, mask, square
        from ensemble_portraits.ensemble.faces.painters import Target
        from ensemble_portraits.ensemble.faces.redraw import RedrawSettings
        from ensemble_portraits.ensemble.regional.sampling import SamplingSettings

        self.patcher, self.pack = patcher, pack
        self.settings = RedrawSettings(
            sampling=SamplingSettings(seed=7, steps=steps, scheduler="normal", denoise=0.5),
            size=size,
        )
        self.loras = [
            engine.parsed(patcher, engine.random_lora(patcher, 1 + i, rank)) for i in range(faces)
        ]
        everywhere = [torch.ones(8, 8)] * faces
        self.people = engine.random_people(patcher, model, self.loras, everywhere)
        boxes = [Face.at(20 + 100 * i, 40, 80 + 100 * i, 110) for i in range(faces)]
        self.targets = [
            Target(0, face, square(face.box, 100 * faces + 60, 200, 2.0), i)
            for i, face in enumerate(boxes)
        ]
        self.masks = torch.stack([mask(t.face.box, t.crop, Oval(), size) for t in self.targets])
        generator = torch.Generator().manual_seed(7)
        self.pixels = torch.rand(faces, size, size, 3, generator=generator)

    def together(self) -> None:
        from ensemble_portraits.ensemble.faces.painters import PeoplePainter

        painter = PeoplePainter.of(self.people, None, None)
        self._redraw(slice(None), painter)

    def one_by_one(self) -> None:
        from ensemble_portraits.ensemble.faces.painters import PlainPainter

        for i, texts, model in self._merged():
            self._redraw(slice(i, i + 1), PlainPainter.of(model, *texts))

    def impact(self) -> None:
        import facedetailer

        for i, texts, model in self._merged():
            crop, mask = self.pixels[i : i + 1], self.masks[i]
            facedetailer.detail(self.pack, crop, mask, model, LatentOnly(), texts, self.settings)
        engine.synchronise()

    def _merged(self):
        """Each face's number, texts, and the model with its LoRA."""
        for i, person in enumerate(self.people.people):
            model = self.patcher.clone()
            model.add_patches(self.loras[i], 1.0)
            yield i, (person.positive.conditioning, person.negative.conditioning), model

    def _redraw(self, part: slice, painter) -> None:
        from ensemble_portraits.ensemble.faces.redraw import redraw

        redraw(
            self.pixels[part], self.masks[part], self.targets[part], LatentOnly(), painter,
            self.settings,
        )  # fmt: skip
        engine.synchronise()


class Counts:
    """Sampler runs and rewrites of patched weights while the block runs."""

    def __enter__(self) -> Counts:
        import comfy.samplers
        from comfy.model_patcher import ModelPatcher

        self.runs = self.rewrites = 0
        self.sample, self.patch = (
            comfy.samplers.KSAMPLER.sample,
            ModelPatcher.patch_weight_to_device,
        )

        def sample(sampler, *args, **kwargs):
            self.runs += 1
            return self.sample(sampler, *args, **kwargs)

        def patch(patcher, key, *args, **kwargs):
            self.rewrites += key in patcher.patches
            return self.patch(patcher, key, *args, **kwargs)

        comfy.samplers.KSAMPLER.sample = sample  # type: ignore[method-assign]
        ModelPatcher.patch_weight_to_device = patch  # type: ignore[method-assign]
        return self

    def __exit__(self, *_) -> None:
        import comfy.samplers
        from comfy.model_patcher import ModelPatcher

        comfy.samplers.KSAMPLER.sample = self.sample  # type: ignore[method-assign]
        ModelPatcher.patch_weight_to_device = self.patch  # type: ignore[method-assign]


def measure(scene: Scene, rounds: int, facts: dict) -> list[dict]:
    results: dict[str, dict[str, list]] = {}

    def run(method: str) -> None:
        unet = scene.patcher.model.diffusion_model
        with engine.counted(unet) as calls, engine.peak_memory() as memory, Counts() as counts:
            start = time.perf_counter()
            getattr(scene, method)()
            seconds = time.perf_counter() - start
        kept = results.setdefault(method, {"seconds": [], "counts": [], "bytes": []})
        kept["seconds"].append(seconds)
        kept["counts"].append((counts.runs, len(calls), sum(calls), counts.rewrites))
        kept["bytes"].append(memory["bytes"])

    methods = ["one_by_one", "together", *(["impact"] if scene.pack else [])]
    engine.interleaved({m: (lambda m=m: run(m)) for m in methods}, rounds)
    together = engine.median(results["together"]["seconds"])
    rows = []
    for method, result in results.items():
        runs, calls, batch_rows, rewrites = result["counts"][-1]
        seconds = engine.median(result["seconds"])
        rows.append({
            **facts, "faces": len(scene.targets), "method": method, "seconds": seconds,
            "times_together": seconds / together, "sampler_runs": runs, "model_calls": calls,
            "rows": batch_rows, "weight_rewrites": rewrites,
            "peak_memory_bytes": max(result["bytes"]),
        })  # fmt: skip
    return rows


def detection(sizes: list[int]) -> list[dict]:
    """Recall and precision at IoU 0.3: one picture of three astronauts per size of face."""
    from ensemble_portraits.ensemble.faces import detectors
    from ensemble_portraits.ensemble.faces.detect import Source, Sources, find_faces

    scenes = engine.load_module("scenes", engine.ROOT / "tests" / "faces" / "scenes.py")
    cascade = detectors.Cascade.load()
    rows = []
    for size in sizes:
        image, truth, pose = scenes.group([float(size)] * 3, cell=max(256, round(size * 4.4)))
        finders = {
            ("guess", "whole"): lambda i=image: detectors.on_tiles(i, cascade, 1 << 20)[0],
            ("guess", "tiles"): lambda i=image: detectors.on_tiles(i, cascade)[0],
            ("pose", "-"): lambda i=image, p=pose: find_faces(i, Sources(pose=p), Source.POSE)[0],
        }
        for (name, view), find in finders.items():
            start = time.perf_counter()
            found = find()
            seconds = time.perf_counter() - start

            def same(a, b) -> bool:
                shared = a.box.shared_area(b.box)
                return shared > 0.3 * (a.box.area + b.box.area - shared)

            seen = sum(any(same(t, f) for f in found) for t in truth)
            right = sum(any(same(t, f) for t in truth) for f in found)
            rows.append({
                "detector": name, "view": view, "face_px": size, "faces": len(truth),
                "recall": seen / len(truth), "precision": right / len(found) if found else 1.0,
                "seconds": seconds,
            })  # fmt: skip
    return rows


def main(argv: list[str] | None = None) -> None:
    parser = engine.options(__doc__, "two faces, one round, four steps")
    parser.add_argument("--model", choices=("sd15", "sdxl"), default="sd15")
    parser.add_argument("--size", type=int, default=512, help="px of a crop")
    parser.add_argument("--faces", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--impact", metavar="DIR", type=Path, help="also ComfyUI-Impact-Pack's FaceDetailer"
    )
    parser.add_argument("--small", action="store_true", help="a shallow UNet (sd15 only)")
    parser.add_argument("--detect", action="store_true", help="recall and precision of detectors")
    parser.add_argument("--face-px", type=int, nargs="+", default=[15, 30, 60, 120, 240])
    args = parser.parse_args(argv)
    if args.quick:
        args.faces, args.rounds, args.steps = [2], 1, 4
        args.face_px = args.face_px[1:3]
    engine.load()
    import torch

    if args.detect:
        engine.report(detection(args.face_px), DETECTED, args.json)
        return
    pack = None
    if args.impact:
        import facedetailer

        pack = facedetailer.load(args.impact)
    rows = []
    with torch.inference_mode():
        patcher = engine.full_size(args.model, {**engine.SD15, **SMALL} if args.small else None)
        for faces in args.faces:
            facts = {"model": "small" if args.small else args.model, "size": args.size}
            scene = Scene(patcher, args.model, args.size, faces, args.rank, args.steps, pack)
            measured = measure(scene, args.rounds, facts)
            rows += measured
            print(engine.table(measured, COLUMNS), flush=True)
    threads = torch.get_num_threads()
    print(f"\n{threads} threads, {'CUDA' if torch.cuda.is_available() else 'CPU'}\n")
    engine.report(rows, COLUMNS, args.json)


if __name__ == "__main__":
    main()
