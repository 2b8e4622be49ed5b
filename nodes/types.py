"""Custom socket types of the pack, and those that other packs share."""

from comfy_api.latest import io

People = io.Custom("ENSEMBLE_PEOPLE")
"""ensemble.regional.people.People"""

FaceDetection = io.Custom("FACE_DETECTION_MODEL")
"""Core's MediaPipe face landmarker, of Load Face Detection Model."""

FaceLandmarks = io.Custom("FACE_LANDMARKS")
"""Core's {frames, image_size, connection_sets}; per face bbox_xyxy and landmarks_xy in pixels."""

PoseKeypoint = io.Custom("POSE_KEYPOINT")
"""A list, one per image, of {canvas_width, canvas_height, people}; the OpenPose JSON form."""
