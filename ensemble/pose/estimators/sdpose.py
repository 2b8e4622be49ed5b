"""SDPose through core's own node, from a checkpoint linked to the sockets."""

import numpy as np

from ...pictures import from_bytes
from ...regions.bounding_box import BoundingBox
from ..skeleton import Pose, read_pose_keypoint
from .base import Sockets
from .detector import person_boxes


class SDPose:
    needs = (
        "SDPose: checkpoints/sdpose_wholebody*.safetensors by Load Checkpoint, its MODEL and VAE "
        "linked to sdpose_model and sdpose_vae"
    )

    def choices(self) -> tuple[str, ...]:
        return ("sdpose",)

    def missing(self, choice: str, sockets: Sockets) -> str:
        if sockets.sdpose_model is None or sockets.sdpose_vae is None:
            return "sdpose_model and sdpose_vae are not both linked"
        return ""

    def estimate(self, image: np.ndarray, choice: str, sockets: Sockets) -> Pose:
        from comfy_extras.nodes_sdpose import SDPoseKeypointExtractor

        boxes = sockets.boxes if sockets.boxes is not None else person_boxes(image)
        if boxes is not None and not boxes:
            return Pose(image.shape[1], image.shape[0], ())
        pixels = from_bytes(image)[None]
        given = [[BoundingBox(box).as_core() for box in boxes]] if boxes else None
        output = SDPoseKeypointExtractor.execute(
            sockets.sdpose_model, sockets.sdpose_vae, pixels, 1, given
        )
        return read_pose_keypoint(output.result[0])[0]
