"""Custom socket types of the pack, and those that other packs share."""

from comfy_api.latest import io

People = io.Custom("ENSEMBLE_PEOPLE")
"""ensemble.regional.people.People"""

PoseKeypoint = io.Custom("POSE_KEYPOINT")
"""A list, one per image, of {canvas_width, canvas_height, people}; the OpenPose JSON form."""
