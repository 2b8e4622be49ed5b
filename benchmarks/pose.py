"""Drawing, reading back and regions of people: processor time per call on one thread, each thing by
turns in one run, medians. Wall times on shared cores say little."""

import importlib
import importlib.util
import sys
import time
import types
from collections.abc import Callable
from typing import Any

import engine
import numpy as np

SIDE = 1024


def package(name: str, folders: list[str]) -> None:
    """An empty package of that name over the folders: its modules are found, its own code is not run."""
    made = sys.modules[name] = types.ModuleType(name)
    made.__path__ = folders


def room(name: str) -> Any:
    """A room of the pack under a name of its own; ComfyUI is not needed for it."""
    return importlib.import_module(f"ensemble_rooms.{name}")


def controlnet_aux() -> Any | None:
    spec = importlib.util.find_spec("controlnet_aux")
    if spec is None or not spec.submodule_search_locations:
        return None
    package("oracle_controlnet_aux", list(spec.submodule_search_locations))
    return importlib.import_module("oracle_controlnet_aux.open_pose")


def tasks() -> dict[str, Callable[[], Any]]:
    skeleton, drawing = room("pose.skeleton"), room("pose.draw")
    default, reading, regions = room("pose.default"), room("pose.read"), room("regions.people")
    small = default.default_pose(4, 512, 512)[0]
    big = default.default_pose(4, SIDE, SIDE)[0]
    bodies = np.stack([person.body for person in big.people])
    picture = drawing.draw(big)
    assert isinstance(small, skeleton.Pose)

    def without_opencv() -> None:
        held = sys.modules.get("cv2")
        sys.modules["cv2"] = None  # type: ignore[assignment]
        drawing.draw(small)
        if held is None:
            del sys.modules["cv2"]
        else:
            sys.modules["cv2"] = held

    made: dict[str, Callable[[], Any]] = {
        "draw 4 people, 512": lambda: drawing.draw(small),
        "the same without OpenCV": without_opencv,
        "read 4 people, 1024": lambda: reading.read(picture),
    }
    for shape in regions.Shape:
        made[f"regions {shape.value}, 4 people, 1024"] = lambda shape=shape: regions.body_regions(
            bodies, SIDE, SIDE, shape
        )
    oracle = controlnet_aux()
    if oracle is not None:
        point = oracle.body.Keypoint
        people = [[point(x / 512, y / 512) for x, y, _ in p.body] for p in small.people]

        def theirs() -> None:
            canvas = np.zeros((512, 512, 3), np.uint8)
            for person in people:
                oracle.util.draw_bodypose(canvas, person)

        made["controlnet_aux draw_bodypose"] = theirs
    return made


def main(argv: list[str] | None = None) -> None:
    args = engine.options(__doc__, "5 rounds instead of 40").parse_args(argv)
    import torch

    try:
        import cv2

        cv2.setNumThreads(1)
    except ImportError:
        print("OpenCV is not installed: limbs are painted without it")
    torch.set_num_threads(1)
    package("ensemble_rooms", [str(engine.ROOT / "ensemble")])
    work = tasks()
    spent: dict[str, list[float]] = {name: [] for name in work}
    for name in work:
        work[name]()  # first calls import and allocate
    for _ in range(5 if args.quick else 40):
        for name, task in work.items():
            start = time.process_time()
            task()
            spent[name].append(1000 * (time.process_time() - start))
    rows = [{"what": name, "milliseconds": engine.median(times)} for name, times in spent.items()]
    engine.report(rows, list(rows[0]), args.json)


if __name__ == "__main__":
    main()
