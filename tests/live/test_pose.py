"""PoseControlInput through POST /prompt: every kind of input, and what goes wrong in words."""

import importlib.util
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

TWO = "a beach BREAK photo BREAK a woman BREAK a man"
WIDGETS = {
    "people": 0,
    "width": 0,
    "height": 0,
    "estimator": "auto",
    "shape": "capsule",
    "order": "",
    "match": "left to right",
    "on_mismatch": "error",
    "no_picture": "arms crossed",
    "on_nobody": "error",
    "source": "auto",
    "framing": "auto",
    "style": "openpose",
    "hands": True,
    "face": True,
    "min_score": 0.3,
    "feather": 0.06,
    "margin": 0.3,
}


def _small_models():
    file = Path(__file__).parent.parent / "pose" / "small_models.py"
    spec = importlib.util.spec_from_file_location("pose_small_models", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def skeleton() -> Image.Image:
    from ensemble_portraits.ensemble.pose.default import default_pose
    from ensemble_portraits.ensemble.pose.draw import draw

    return Image.fromarray(draw(default_pose(2, 768, 512)[0]))


@pytest.fixture(scope="module")
def photo() -> Image.Image:
    from skimage import data

    return Image.fromarray(data.astronaut()[:384, :320])


@pytest.fixture(scope="module")
def estimator(server):
    """ViTPose and RT-DETR with random weights in the server's models folder, for this module."""
    root = server.base / "models" / "pose_estimation"
    models = _small_models()
    folders = [root / "live_vitpose", root / "live_rtdetr"]
    models.vitpose(folders[0])
    models.rtdetr(folders[1])
    yield folders
    for folder in folders:
        shutil.rmtree(folder)


def graph(image: str | None = None, **inputs) -> dict:
    """The node with its map and the first person's region saved."""
    nodes = {
        "pose": {"class_type": "PoseControlInput", "inputs": {**WIDGETS, **inputs}},
        "mask": {"class_type": "MaskToImage", "inputs": {"mask": ["pose", 2]}},
        "save": {
            "class_type": "SaveImage",
            "inputs": {"images": ["pose", 0], "filename_prefix": "live/pose"},
        },
        "regions": {
            "class_type": "SaveImage",
            "inputs": {"images": ["mask", 0], "filename_prefix": "live/regions"},
        },
    }
    if image:
        nodes["load"] = {"class_type": "LoadImage", "inputs": {"image": image}}
        nodes["pose"]["inputs"]["image"] = ["load", 0]
    return nodes


def text_node(text: str) -> dict:
    return {"class_type": "PrimitiveStringMultiline", "inputs": {"value": text}}


def saved(result, folder: str) -> list[np.ndarray]:
    assert result.status == "success", result.error
    names = result.outputs[folder]["images"]
    assert names
    every = [i for output in result.outputs.values() for i in output.get("images", ())]
    return [np.asarray(result.images[every.index(name)].convert("RGB")) for name in names]


def test_skeleton(server, skeleton):
    result = server.run(graph(server.upload(skeleton, "two_people.png")))
    assert (saved(result, "save")[0] == np.asarray(skeleton)).all()
    regions = saved(result, "regions")
    assert len(regions) == 2
    assert regions[0][150, 192, 0] > 230 and regions[1][150, 192, 0] < 25
    assert "person 1: body 1" in result.outputs["pose"]["text"][0]
    keypoints = json.loads(result.outputs["pose"]["openpose_json"][0])
    assert len(keypoints[0]["people"]) == 2 and keypoints[0]["canvas_width"] == 768


def test_skeleton_as_jpeg_of_another_size(server, skeleton, tmp_path):
    skeleton.resize((1152, 768), Image.Resampling.BILINEAR).save(tmp_path / "big.jpg", quality=90)
    result = server.run(graph(server.upload(tmp_path / "big.jpg"), width=768, height=512))
    keypoints = json.loads(result.outputs["pose"]["openpose_json"][0])
    plain = json.loads(
        server.run(graph(server.upload(skeleton, "two_people.png"))).outputs["pose"][
            "openpose_json"
        ][0]
    )
    for big, small in zip(keypoints[0]["people"], plain[0]["people"], strict=True):
        a = np.array(big["pose_keypoints_2d"]).reshape(18, 3)
        b = np.array(small["pose_keypoints_2d"]).reshape(18, 3)
        both = (a[:, 2] > 0) & (b[:, 2] > 0)
        assert both.sum() >= 14 and np.abs(a[both, :2] - b[both, :2]).max() <= 2


def test_nothing_but_a_prompt(server):
    nodes = graph(width=768, height=512)
    nodes["text"] = text_node(TWO)
    nodes["pose"]["inputs"]["text"] = ["text", 0]
    nodes["latent"] = {
        "class_type": "EmptyLatentImage",
        "inputs": {"width": ["pose", 4], "height": ["pose", 5], "batch_size": ["pose", 3]},
    }
    nodes["decode"] = {
        "class_type": "SaveLatent",
        "inputs": {"samples": ["latent", 0], "filename_prefix": "live/pose"},
    }
    result = server.run(nodes)
    assert saved(result, "save")[0].shape == (512, 768, 3)
    assert len(saved(result, "regions")) == 2
    assert "crossed arms" in result.outputs["pose"]["text"][0]


def test_photo_through_vitpose_equals_the_library(server, photo, estimator):
    from transformers import AutoImageProcessor, VitPoseForPoseEstimation

    box = {"x": 40, "y": 30, "width": 200, "height": 300}
    nodes = graph(
        server.upload(photo, "astronaut.png"), min_score=0.0, on_nobody="default pose", people=0,
        width=320, height=384,
    )  # fmt: skip
    nodes["box"] = {"class_type": "PrimitiveBoundingBox", "inputs": box}
    nodes["pose"]["inputs"]["person_boxes"] = ["box", 0]
    result = server.run(nodes)
    assert result.status == "success", result.error
    people = json.loads(result.outputs["pose"]["openpose_json"][0])[0]["people"]
    processor = AutoImageProcessor.from_pretrained(estimator[0])
    model = VitPoseForPoseEstimation.from_pretrained(estimator[0]).eval()
    boxes = [np.array([[40, 30, 200, 300]], dtype=np.float32)]
    inputs = processor(np.asarray(photo), boxes=boxes, return_tensors="pt")
    import torch

    with torch.inference_mode():
        outputs = model(**inputs)
    wanted = processor.post_process_pose_estimation(outputs, boxes=boxes)[0][0]["keypoints"]
    assert len(people) == 1
    joints = np.array(people[0]["pose_keypoints_2d"]).reshape(18, 3)
    known = joints[:, 2] > 0
    for joint, source in {0: 0, 2: 6, 5: 5, 8: 12, 14: 2}.items():
        if known[joint]:
            assert np.allclose(joints[joint, :2], wanted[source].numpy(), atol=1e-2)
    assert known.sum() >= 3


def test_photo_with_a_detector(server, photo, estimator):
    nodes = graph(server.upload(photo, "astronaut.png"), min_score=0.0, on_nobody="default pose")
    result = server.run(nodes)
    assert result.status == "success", result.error


@pytest.mark.parametrize(
    ("inputs", "says"),
    [
        ({"image": (1, 1)}, "1x1"),
        ({"image": (20000, 64)}, "20000x64"),
        ({"image": (256, 256), "source": "skeleton"}, "No person was found"),
        ({"image": (256, 256), "estimator": "openpose"}, "body_pose_model.pth"),
        ({"skeleton": True, "people": 3}, "shows 2 people and the prompt has 3"),
        ({"skeleton": True, "match": "by words"}, "person_masks"),
        ({"skeleton": True, "order": "1,2,3"}, "3 places"),
    ],
)
def test_bad_input_is_told_in_words(server, skeleton, inputs, says):
    inputs = dict(inputs)
    name = None
    if inputs.pop("skeleton", False):
        name = server.upload(skeleton, "two_people.png")
    elif size := inputs.pop("image", None):
        name = server.upload(Image.new("RGB", size, (90, 80, 70)), f"grey{size[0]}.png")
    result = server.run(graph(name, **inputs))
    assert result.status == "error" and says in result.error


def test_a_bad_order_is_refused_when_queued(server):
    status, answer = server.post(graph(order="2,2", people=2))
    assert status == 400 and "order" in json.dumps(answer)


def test_numbers_outside_are_refused_when_queued(server):
    status, answer = server.post(graph(people=-1))
    assert status == 400 and "people" in json.dumps(answer)


def test_on_mismatch_and_nobody(server, skeleton):
    name = server.upload(skeleton, "two_people.png")
    assert len(saved(server.run(graph(name, people=1, on_mismatch="crop")), "regions")) == 1
    assert len(saved(server.run(graph(name, people=3, on_mismatch="repeat")), "regions")) == 3
    grey = server.upload(Image.new("RGB", (256, 256), (90, 80, 70)), "grey256.png")
    chosen = graph(grey, source="skeleton", on_nobody="default pose", people=2)
    assert len(saved(server.run(chosen), "regions")) == 2


def _joints(size: tuple[int, int], shift: float = 0.0) -> str:
    from ensemble_portraits.ensemble.pose.default import default_pose

    width, height = size
    bodies = [
        [[x / width + shift, y / height] for x, y, _ in person.body.tolist()]
        for person in default_pose(2, width, height)[0].people
    ]
    return json.dumps(bodies)


def test_joints_moved_by_hand_arrive_in_the_map_and_are_shown(server):
    from ensemble_portraits.ensemble.pose.draw import draw
    from ensemble_portraits.ensemble.pose.joints import pose_of, read_joints

    text = _joints((768, 512), shift=0.05)
    result = server.run(graph(people=2, width=768, height=512, joints=text))
    assert (saved(result, "save")[0] == draw(pose_of(read_joints(text), 768, 512))).all()
    (told,) = result.outputs["pose"]["joints"]
    assert np.allclose(np.array(json.loads(told)), np.array(json.loads(text)), atol=6e-5)
    linked = graph(people=2, width=768, height=512, joints=["text", 0])
    again = server.run({**linked, "text": text_node(text)})
    assert (saved(again, "save")[0] == saved(result, "save")[0]).all()


def test_bad_joints_that_are_linked_are_told_when_they_arrive(server):
    run = server.run({**graph(people=2, joints=["text", 0]), "text": text_node("[[]]")})
    assert "Input 'joints', body 1: 0 joints" in run.error


@pytest.mark.parametrize(
    ("joints", "needle"),
    [
        ("left", "must be a JSON list"),
        ("[[[0.5, 0.5]]]", "body 1: 1 joints must be a list of 18"),
        (json.dumps([[[float("nan"), 0.5]] * 18]), "joint 0 (nose): [nan, 0.5]"),
    ],
)
def test_bad_joints_are_refused_at_the_queue(server, joints, needle):
    status, answer = server.post(graph(people=2, joints=joints))
    assert status == 400
    told = {error["details"] for error in answer["node_errors"]["pose"]["errors"]}
    assert told and all(needle in each and "Input 'joints'" in each for each in told)
