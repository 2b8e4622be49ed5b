"""EnsembleFaceRestore and EnsembleFaceSwap through POST /prompt, on faces whose places are known."""

import json

import numpy as np
import pytest
from PIL import Image

from dev.client import RefusedError

# Eyes, nose, mouth corners of scikit-image's astronaut in its 512 px, placed by eye.
ANCHORS = ((203.7, 101.3), (246.7, 103.8), (223.3, 127.0), (203.7, 140.0), (247.0, 139.2))
BOX = {"x": 181, "y": 88, "width": 89, "height": 90}
RESTORER = "small_restoreformer.safetensors"
GROUPS = (range(36, 42), range(42, 48), (30,), (48,), (54,))


def node(kind: str, **inputs) -> dict:
    return {"class_type": kind, "inputs": inputs}


def pose(mirrored: bool = False) -> dict:
    """One person of POSE_KEYPOINT whose 68 face points lie on the landmarks."""
    anchors = ANCHORS
    if mirrored:
        anchors = tuple((512 - ANCHORS[i][0], ANCHORS[i][1]) for i in (1, 0, 2, 4, 3))
    face = [[512 / 2, 130.0, 1.0] for _ in range(68)]
    for group, anchor in zip(GROUPS, anchors, strict=True):
        for point in group:
            face[point] = [*anchor, 1.0]
    person = {"pose_keypoints_2d": [0] * 54, "face_keypoints_2d": [v for p in face for v in p]}
    return {"canvas_width": 512, "canvas_height": 512, "people": [person]}


@pytest.fixture(scope="module")
def photos(server) -> tuple[str, str]:
    """The astronaut, and her mirror image."""
    from skimage import data

    picture = Image.fromarray(data.astronaut())
    mirror = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return server.upload(picture, "fix.png"), server.upload(mirror, "fix_mirror.png")


def graph(photo: str, end: dict, **more) -> dict:
    return {
        "load": node("LoadImage", image=photo),
        "fix": {**end, "inputs": {"image": ["load", 0], **end["inputs"]}},
        "save": node("SaveImage", images=["fix", 0], filename_prefix="live/fix"),
        **more,
    }


def pixels(image: Image.Image) -> np.ndarray:
    return np.asarray(image.convert("RGB")).astype(int)


def saved(result) -> np.ndarray:
    """The saved picture; FaceInpaint shows another one on the node."""
    every = [i for output in result.outputs.values() for i in output.get("images", ())]
    return pixels(result.images[every.index(result.outputs["save"]["images"][0])])


def original() -> np.ndarray:
    from skimage import data

    return data.astronaut().astype(int)


def test_only_the_face_is_restored(server, photos):
    end = node("EnsembleFaceRestore", model=RESTORER, strength=1.0, boxes=BOX)
    result = server.run(graph(photos[0], end))
    assert result.status == "success", result.error
    change = np.abs(pixels(result.images[0]) - original()).max(axis=-1)
    assert not change[:40].any() and not change[230:].any() and not change[:, 310:].any()
    assert (change[100:160, 200:250] > 8).mean() > 0.5
    nothing = {**end, "inputs": {**end["inputs"], "strength": 0.0}}
    same = server.run(graph(photos[0], nothing))
    assert np.array_equal(pixels(same.images[0]), original())


def test_no_face_is_told(server, photos):
    empty = {"canvas_width": 512, "canvas_height": 512, "people": []}
    end = node("EnsembleFaceRestore", model=RESTORER, strength=1.0, landmarks=empty)
    told = server.run(graph(photos[0], end))
    assert told.status == "success" and "no face" in json.dumps(told.outputs["fix"])
    assert np.array_equal(pixels(told.images[0]), original())


SWAP = {
    "mode": "warp", "strength": 1.0, "seed": 3, "steps": 4, "cfg": 5.0, "sampler": "euler",
    "scheduler": "normal", "denoise": 0.5, "size": 128, "names": "", "match_colour": 1.0, "thin_plate": False,
    "redraw_after": 0.0,
}  # fmt: skip


def test_warp_lays_the_reference_over_the_face(server, photos):
    """Onto the mirror image: her face comes out unmirrored, in its place; the rest stays."""
    end = node(
        "EnsembleFaceSwap", **SWAP, landmarks=pose(mirrored=True), reference=["reference", 0],
        reference_landmarks=pose(),
    )  # fmt: skip
    result = server.run(graph(photos[1], end, reference=node("LoadImage", image=photos[0])))
    assert result.status == "success", result.error
    got, below = pixels(result.images[0]), original()[:, ::-1]
    change = np.abs(got - below).max(axis=-1)
    assert not change[:70].any() and not change[200:].any() and not change[:, :220].any()
    expected = warped(pose(mirrored=True), pose())
    assert np.abs(got - expected).max() <= 1 and (change[100:150, 250:330] > 8).mean() > 0.15


def warped(target: dict, source: dict) -> np.ndarray:
    """The same in this process: the astronaut's face over her mirror image."""
    import torch
    from ensemble_portraits.ensemble.faces.landmarks import FaceInputs
    from ensemble_portraits.ensemble.faces.references import linked_references
    from ensemble_portraits.ensemble.faces.swap import lay_faces
    from ensemble_portraits.ensemble.faces.warp import Warp

    image = torch.from_numpy(original().astype(np.float32) / 255)[None]
    references = linked_references(image, source, None)
    inputs = FaceInputs(landmarks=target)
    result = lay_faces(image.flip(2), inputs, references, Warp(), None, 1.0).image[0]
    return (result.numpy() * 255).astype(int)


def test_names_are_checked_when_the_graph_is_queued(server, photos):
    end = node("EnsembleFaceSwap", **{**SWAP, "names": "nobody of this name"}, landmarks=pose())
    with pytest.raises(RefusedError, match="nobody of this name"):
        server.run(graph(photos[0], end))


def test_warp_without_references_says_what_to_link(server, photos):
    failed = server.run(graph(photos[0], node("EnsembleFaceSwap", **SWAP, landmarks=pose())))
    assert "link reference" in failed.error


def painter() -> dict:
    return {
        "checkpoint": node("CheckpointLoaderSimple", ckpt_name="small_sd15.safetensors"),
        "positive": node("CLIPTextEncode", text="a woman", clip=["checkpoint", 1]),
        "negative": node("CLIPTextEncode", text="blurry", clip=["checkpoint", 1]),
    }


PAINTS = {
    "model": ["checkpoint", 0], "vae": ["checkpoint", 2], "positive": ["positive", 0],
    "negative": ["negative", 0],
}  # fmt: skip


def test_redraw_is_face_inpaint(server, photos):
    """The same pixels as FaceInpaint over a mask of the box."""
    swap = node("EnsembleFaceSwap", **{**SWAP, "mode": "redraw"}, **PAINTS, boxes=BOX)
    swapped = server.run(graph(photos[0], swap, **painter()))
    assert swapped.status == "success", swapped.error
    inpaint = node(
        "FaceInpaint", **PAINTS, mask=["mask", 0], seed=3, steps=4, cfg=5.0, sampler="euler",
        scheduler="normal", denoise=0.5, detector="auto", unmatched="common", size=128, context=2.0,
        grow=0.15, feather=0.15, max_faces=32, yunet_model="first in folder",
    )  # fmt: skip
    blank = node("SolidMask", value=0.0, width=512, height=512)
    white = node("SolidMask", value=1.0, width=BOX["width"], height=BOX["height"])
    mask = node(
        "MaskComposite", destination=["blank", 0], source=["white", 0], x=BOX["x"], y=BOX["y"],
        operation="add",
    )  # fmt: skip
    more = {**painter(), "blank": blank, "white": white, "mask": mask}
    expected = server.run(graph(photos[0], inpaint, **more))
    assert expected.status == "success", expected.error
    assert np.array_equal(saved(swapped), saved(expected))
    assert not np.array_equal(saved(swapped), original())


def test_a_warp_can_be_painted_over(server, photos):
    more = {"reference": node("LoadImage", image=photos[1]), **painter()}
    faces = {"landmarks": pose(), "reference": ["reference", 0]}
    faces["reference_landmarks"] = pose(mirrored=True)
    results = [
        server.run(
            graph(
                photos[0],
                node("EnsembleFaceSwap", **{**SWAP, "redraw_after": after}, **PAINTS, **faces),
                **more,
            )
        )
        for after in (0.0, 0.3)
    ]
    assert [each.status for each in results] == ["success"] * 2, results[1].error
    assert not np.array_equal(pixels(results[0].images[0]), pixels(results[1].images[0]))
