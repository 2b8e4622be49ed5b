"""example_workflows/api/multi_person.json as shipped, on small models: every kind of pose it can be given."""

import importlib.util
import json
import shutil
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

ROOT = Path(__file__).resolve().parent.parent.parent


def shipped(name: str) -> dict:
    """A shipped graph; only file names, the length of sampling and the finishing are changed."""
    graph = json.loads((ROOT / "example_workflows" / "api" / f"{name}.json").read_text("utf-8"))
    graph["checkpoint"]["inputs"]["ckpt_name"] = "small_sd15.safetensors"
    if "controlnet" in graph:
        graph["controlnet"]["inputs"]["control_net_name"] = "small_openpose.safetensors"
    graph["sample"]["inputs"].update(steps=2, sampler_name="euler", scheduler="normal")
    for stage in ("super_resolution", "hires_fix", "inpaint_faces", "film_grain"):
        graph[f"finish:{stage}"]["inputs"]["switch"] = False
    return graph


def recipe(**pose) -> dict:
    graph = shipped("multi_person")
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
    graph["apply_pose"]["inputs"]["strength"] = 0.0
    painted, pose_map = pictures(server.run(graph))
    assert painted.std() > 0 and not np.asarray(pose_map.convert("RGB")).any()


def test_as_many_people_as_the_text_has(server):
    graph = recipe()
    graph["text"]["inputs"]["value"] = "s BREAK c BREAK ann BREAK bob BREAK cid"
    graph["count"] = {"class_type": "PreviewAny", "inputs": {"source": ["pose", 3]}}
    result = server.run({key: graph[key] for key in ("text", "pose", "count")})
    assert result.status == "success", result.error
    assert result.outputs["count"]["text"] == ["3"]


def test_with_every_stage_that_is_shipped_switched_on(server):
    from dev.demo import TABLE
    from dev.graphs import Wishes, fit

    graph = json.loads(
        (ROOT / "example_workflows" / "api" / "multi_person.json").read_text("utf-8")
    )
    table = json.loads(TABLE.read_text(encoding="utf-8"))
    wishes = Wishes(steps=2, size=(192, 128), quick=True)
    graph, _ = fit(graph, server.object_info(), table, wishes)
    result = server.run(graph)
    assert result.status == "success", result.error
    stages = ["finish:upscale", "finish:hires", "finish:faces", "finish:grain"]
    assert [key for key in result.executed if key in stages] == stages
    assert result.images[-1].size == (384, 256)


def test_keep_background_changes_people_only(server, skeleton):
    graph = shipped("multi_person_keep_background")
    graph["photo"]["inputs"]["image"] = skeleton
    graph["pose"]["inputs"].update(width=256, height=192)
    graph["sizes"] = {
        "class_type": "SaveImage",
        "inputs": {"images": ["inside_people", 0], "filename_prefix": "live/map"},
    }
    graph["inside_people"] = {"class_type": "MaskToImage", "inputs": {"mask": ["pose", 6]}}
    result = server.run(graph)
    assert result.status == "success", result.error
    shown = {p.node: p.data for p in server.client.pictures(result.run)}
    before = np.asarray(Image.open(server.base / "input" / skeleton).convert("RGB"))
    after = np.asarray(Image.open(BytesIO(shown["save"])).convert("RGB"))
    mask = Image.open(BytesIO(shown["sizes"])).resize(
        before.shape[1::-1], Image.Resampling.BILINEAR
    )
    white = np.asarray(mask.convert("L"))
    far = ndimage.distance_transform_edt(white == 0) > 20
    assert after.shape == before.shape and 0.05 < far.mean() < 0.95
    assert np.array_equal(after[far], before[far])
    assert np.abs(after[white > 250].astype(int) - before[white > 250]).mean() > 5


def test_from_picture_starts_at_the_picture(server, skeleton):
    graph = shipped("multi_person_from_picture")
    graph["photo"]["inputs"]["image"] = skeleton
    graph["working_size"]["inputs"]["resize_type.shorter_size"] = 128
    far, near = (painted_from(server, graph, denoise) for denoise in (1.0, 0.1))
    assert far.shape == near.shape == (128, 168, 3)
    picture = Image.open(server.base / "input" / skeleton).convert("RGB").resize((168, 128))
    distance = [np.abs(each.astype(int) - np.asarray(picture)).mean() for each in (far, near)]
    assert distance[1] < distance[0]


def painted_from(server, graph: dict, denoise: float) -> np.ndarray:
    graph["sample"]["inputs"]["denoise"] = denoise
    result = server.run(graph)
    assert result.status == "success", result.error
    return np.asarray(result.images[-1].convert("RGB"))
