"""Text masks: 8 pictures, 3 words, CLIPSeg. One load and one batch, against a load per call.

The other side is what the common public node does: for every picture and every word it reads the
model from its folder and runs one forward. Both sides run in one process, in turn; the table shows
medians. The model has CLIPSeg's full size and random weights, which cost the same as trained ones.
"""

import os
import tempfile
import time
from pathlib import Path

import engine

WORDS = ("clothes", "hair", "red scarf")


def make_model(folder: Path) -> None:
    """CLIPSeg rd64-refined's shape (152 M parameters) with random weights."""
    import comfy.sd1_clip
    from transformers import (
        CLIPSegConfig,
        CLIPSegForImageSegmentation,
        CLIPSegProcessor,
        CLIPTokenizer,
        ViTImageProcessor,
    )

    config = CLIPSegConfig(
        vision_config={"patch_size": 16, "image_size": 352},
        use_complex_transposed_convolution=True,
    )
    CLIPSegForImageSegmentation(config).save_pretrained(folder)
    tokenizer = Path(comfy.sd1_clip.__file__).parent / "sd1_tokenizer"
    CLIPSegProcessor(
        ViTImageProcessor(size={"height": 352, "width": 352}),
        CLIPTokenizer.from_pretrained(tokenizer),
    ).save_pretrained(folder)


def reload_and_loop(folder: Path, image) -> None:
    """The model from its folder for each word of each picture, as the public node does."""
    import torch
    from transformers import CLIPSegForImageSegmentation, CLIPSegProcessor

    for picture in image:
        for word in WORDS:
            processor = CLIPSegProcessor.from_pretrained(folder)
            model = CLIPSegForImageSegmentation.from_pretrained(folder)
            pixels = (picture * 255).round().to(torch.uint8).movedim(-1, 0)
            inputs = processor(text=[word], images=[pixels], padding=True, return_tensors="pt")
            with torch.no_grad():
                logits = model(**inputs).logits.reshape(1, 1, 352, 352)
            torch.nn.functional.interpolate(logits, picture.shape[:2], mode="bilinear").sigmoid()


def once_and_batched(folder: Path, image) -> None:
    """This pack, the first call of a session: the model is loaded, then every call reuses it."""
    from ensemble_portraits.ensemble.segment import clipseg
    from ensemble_portraits.ensemble.segment.backend import Job

    clipseg.segment(folder, Job(image=image, words=WORDS, threshold=0.4))


def seconds(work, *arguments) -> float:
    started = time.perf_counter()
    work(*arguments)
    return time.perf_counter() - started


def measure(pictures: int, size: int, rounds: int) -> dict[str, float]:
    """Median seconds of the three ways: reloading, our first call, our later calls."""
    import torch
    from ensemble_portraits.ensemble.models import loading

    image = torch.rand(pictures, size, size, 3)
    times: dict[str, list[float]] = {"reload": [], "first": [], "later": []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_model(folder)
        once_and_batched(folder, image[:1])
        for _ in range(rounds):
            times["reload"].append(seconds(reload_and_loop, folder, image))
            loading._loaded.clear()
            times["first"].append(seconds(once_and_batched, folder, image))
            times["later"].append(seconds(once_and_batched, folder, image))
    return {name: engine.median(values) for name, values in times.items()}


def main(argv: list[str] | None = None) -> None:
    arguments = engine.options(__doc__, "2 pictures, 1 round").parse_args(argv)
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    engine.load()
    from transformers.utils import logging

    logging.disable_progress_bar()
    pictures, rounds = (2, 1) if arguments.quick else (8, 3)
    times = measure(pictures, 512, rounds)
    print(f"CLIPSeg, {pictures} pictures of 512x512, {len(WORDS)} words, median of {rounds}\n")
    names = {
        "reload": "load and forward per picture and word",
        "first": "this pack, model not loaded yet",
        "later": "this pack, model loaded",
    }
    rows = [
        {"what": label, "seconds": times[key], "times_faster": times["reload"] / times[key]}
        for key, label in names.items()
    ]
    engine.report(rows, list(rows[0]), arguments.json)


if __name__ == "__main__":
    main()
