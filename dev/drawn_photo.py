"""A photo for the demo, where no weights can find words in one: a drawn person whose mask and pose are
known. The picture's alpha is the person, so that Load Image gives the mask of all else."""

import io
import random
from typing import Any

import numpy as np
from PIL import Image

from dolls.world import Scene, draw, make_scene, person_masks, skeleton

from .client import Graph

PHOTO, POSE = "drawn_photo.png", "drawn_pose.png"
PLACE = "beach"
"""What is painted round the person; the drawing's own is another."""
_SEED = 8


def scene() -> Scene:
    return make_scene(random.Random(_SEED), count=1, shape="portrait", scale=0.75)


def wanted_by(graph: Graph) -> bool:
    """Whether the graph finds words in one loaded picture."""
    kinds = [node["class_type"] for node in graph.values()]
    return kinds.count("LoadImage") == 1 and "MaskFromPrompt" in kinds


def files() -> dict[str, bytes]:
    """The skeleton, and last the photo, cut out; by their names."""
    drawn = scene()
    pixels = np.asarray(draw(drawn))
    person = person_masks(drawn)[0]
    photo = np.dstack([pixels, np.where(person, 255, 0).astype(np.uint8)])
    return {POSE: _png(np.asarray(skeleton(drawn))), PHOTO: _png(photo)}


def _png(pixels: np.ndarray) -> bytes:
    png = io.BytesIO()
    Image.fromarray(pixels).save(png, "PNG")
    return png.getvalue()


def put_in(graph: Graph) -> list[str]:
    """The photo, its own mask and its own pose into a graph that wants it; a line for each."""
    (loader,) = (key for key, node in graph.items() if node["class_type"] == "LoadImage")
    masks = [key for key, node in graph.items() if node["class_type"] == "MaskFromPrompt"]
    graph[loader]["inputs"]["image"] = PHOTO
    graph["drawn_pose"] = {"class_type": "LoadImage", "inputs": {"image": POSE}}
    for node in graph.values():
        inputs: dict[str, Any] = node["inputs"]
        for name, value in inputs.items():
            if isinstance(value, list) and value[0] in masks:
                inputs[name] = [loader, 1]
        if node["class_type"] == "PoseControlInput":
            inputs["image"] = ["drawn_pose", 0]
        if node["class_type"] == "EnsembleEnhancePrompt":
            inputs["prompt"] = f"{scene().people[0].caption()}, {PLACE}"
    for key in masks:
        del graph[key]
    return [
        f"LoadImage.image: {PHOTO}, a drawn person, with its pose",
        "MaskFromPrompt: left out, the mask is the drawing's own; finding words needs CLIPSeg's weights",
    ]
