"""workflows/api/multi_person.json as shipped, on small models: every kind of pose it can be given."""

import importlib.util
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent.parent


def recipe(**pose) -> dict:
    """The shipped graph; only file names and the length of sampling are changed."""
    graph = json.loads((ROOT / "workflows" / "api" / "multi_person.json").read_text("utf-8"))
    graph["checkpoint"]["inputs"]["ckpt_name"] = "small_sd15.safetensors"
    graph["controlnet"]["inputs"]["control_net_name"] = "small_openpose.safetensors"
    graph["sample"]["inputs"].update(steps=2, sampler_name="euler", scheduler="normal")
    graph["pose"]["inputs"].update(width=256, height=192, **pose)
    graph["map"] = {
        "class_type": "SaveImage",
        "inputs": {"images": ["pose", 0], "filename_prefix": "live/map"},
    }
    return graph


def with_image(graph: dict, name: str) -> dict:
    graph["load"] = {"class_type": "LoadImage", "inputs": {"image": name}}
    graph["pose"]["inputs"]["image"] = ["load", 0]
    return graph


def pictures(result) -> tuple[np.ndarray, Image.Image]:
    """The painted picture and the pose map."""
    assert result.status == "success", result.error
    every = [i for output in result.outputs.values() for i in output.get("images", ())]
    painted = every.index(result.outputs["save"]["images"][0])
    pose_map = every.index(result.outputs["map"]["images"][0])
    return np.asarray(result.images[painted]), result.images[pose_map]


def equals_the_map_by_hand(server, graph: dict) -> np.ndarray:
    """Run it, then again with core's ControlNetApplyAdvanced fed the saved map from a file."""
    painted, pose_map = pictures(server.run(graph))
    by_hand = json.loads(json.dumps(graph))
    by_hand["file"] = {
        "class_type": "LoadImage",
        "inputs": {"image": server.upload(pose_map, "map_by_hand.png")},
    }
    by_hand["apply_pose"]["inputs"]["image"] = ["file", 0]
    again, _ = pictures(server.run(by_hand))
    assert (painted == again).all()
    return painted


@pytest.fixture(scope="module")
def skeleton(server) -> str:
    from ensemble_portraits.ensemble.pose.default import default_pose
    from ensemble_portraits.ensemble.pose.draw import draw

    pose = default_pose(2, 768, 576)[0]
    turned = pose.with_people([p.moved((0.8, 1.0), (30, 40)) for p in pose.people])
    return server.upload(Image.fromarray(draw(turned)), "recipe_skeleton.png")


def test_without_a_picture(server):
    equals_the_map_by_hand(server, recipe())


def test_with_a_skeleton_the_pose_steers_the_picture(server, skeleton):
    with_skeleton = equals_the_map_by_hand(server, with_image(recipe(), skeleton))
    without, _ = pictures(server.run(recipe()))
    assert (with_skeleton != without).any()


def test_with_a_photo(server):
    from skimage import data

    file = Path(__file__).parent.parent / "pose" / "small_models.py"
    spec = importlib.util.spec_from_file_location("recipe_small_models", file)
    models = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(models)
    root = server.base / "models" / "pose_estimation"
    folders = [root / "recipe_vitpose", root / "recipe_rtdetr"]
    try:
        models.vitpose(folders[0])
        models.rtdetr(folders[1])
        photo = server.upload(Image.fromarray(data.astronaut()), "recipe_photo.png")
        graph = with_image(recipe(min_score=0.0, on_mismatch="repeat"), photo)
        result = server.run(graph)
        assert "bodies in the photo" in result.outputs["pose"]["text"][0]
        equals_the_map_by_hand(server, graph)
    finally:
        for folder in folders:
            shutil.rmtree(folder)


def test_no_pose_variant_paints_in_columns_without_controlnet(server):
    graph = recipe(no_picture="no pose")
    del graph["apply_pose"], graph["controlnet"]
    graph["sample"]["inputs"].update(positive=["people", 1], negative=["people", 2])
    painted, pose_map = pictures(server.run(graph))
    assert painted.std() > 0 and not np.asarray(pose_map.convert("RGB")).any()


def test_keep_background_variant_changes_people_only(server, skeleton):
    graph = with_image(recipe(), skeleton)
    graph["background"] = {
        "class_type": "EmptyImage",
        "inputs": {"width": 256, "height": 192, "batch_size": 1, "color": 0x406080},
    }
    graph["encode"] = {
        "class_type": "VAEEncode",
        "inputs": {"pixels": ["background", 0], "vae": ["checkpoint", 2]},
    }
    graph["latent"] = {
        "class_type": "SetLatentNoiseMask",
        "inputs": {"samples": ["encode", 0], "mask": ["pose", 6]},
    }
    graph["kept"] = {
        "class_type": "ImageCompositeMasked",
        "inputs": {
            "destination": ["background", 0], "source": ["decode", 0], "mask": ["pose", 6],
            "x": 0, "y": 0, "resize_source": False,
        },
    }  # fmt: skip
    graph["save"]["inputs"]["images"] = ["kept", 0]
    graph["people"]["inputs"]["text"] = "BREAK BREAK a woman BREAK a man"
    painted, _ = pictures(server.run(graph))
    assert np.abs(painted[2, 126, :3].astype(int) - (0x40, 0x60, 0x80)).max() <= 1
    assert (painted[90, 60, :3] != (0x40, 0x60, 0x80)).any()
