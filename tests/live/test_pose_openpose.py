"""OpenPose of controlnet_aux through POST /prompt, on random weights of its own class."""

import importlib.util
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

TESTS = Path(__file__).parent.parent


def load(name: str):
    """A module of the tests, which are no package."""
    spec = importlib.util.spec_from_file_location(Path(name).name, TESTS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


openpose = load("pose/conftest").openpose


@pytest.fixture
def weights(server, openpose):
    file = server.base / "models" / "pose_estimation" / "openpose" / "body_pose_model.pth"
    load("pose/small_models").openpose(openpose, file)
    yield file
    shutil.rmtree(file.parent)


@pytest.mark.slow
def test_openpose_equals_controlnet_aux(server, openpose, weights):
    from PIL import Image
    from skimage import data

    picture = data.astronaut()[:160, 100:260].copy()
    wanted = openpose.OpenposeDetector(openpose.body.Body(str(weights))).detect_poses(picture)
    inputs = {"estimator": "openpose", "min_score": 0.0, "width": 160, "height": 160, "people": 0}
    inputs["image"] = ["load", 0]
    nodes = {
        "load": {
            "class_type": "LoadImage",
            "inputs": {"image": server.upload(Image.fromarray(picture), "astronaut160.png")},
        },
        "pose": {
            "class_type": "PoseControlInput",
            "inputs": {**load("live/test_pose").WIDGETS, **inputs},
        },
        "save": {
            "class_type": "SaveImage",
            "inputs": {"images": ["pose", 0], "filename_prefix": "live/openpose"},
        },
    }
    result = server.run(nodes)
    assert result.status == "success", result.error
    people = json.loads(result.outputs["pose"]["openpose_json"][0])[0]["people"]
    found = {tuple(np.round(xy[:2], 2)) for p in people for xy in joints(p) if xy[2] > 0}
    points = [k for person in wanted for k in person.body.keypoints if k is not None]
    assert found and found <= {(round(k.x * 160, 2), round(k.y * 160, 2)) for k in points}


def joints(person: dict) -> np.ndarray:
    return np.array(person["pose_keypoints_2d"]).reshape(18, 3)
