"""What the face nodes offer to choose from: all that the graph editor needs to draw them."""

from enum import Enum

import folder_paths

YUNET_FOLDER = "face_detection"
RESTORER_FOLDERS = ("facerestore_models", "upscale_models")
# Upscalers share their folder with these; a name is all that can be gone by without reading files.
_KNOWN = ("gfpgan", "restoreformer", "codeformer")


class Source(str, Enum):
    AUTO = "auto"
    MASK = "mask"
    MEDIAPIPE = "mediapipe"
    YUNET = "yunet"
    POSE = "pose"
    PEOPLE = "people"
    GUESS = "guess"


class Unmatched(str, Enum):
    COMMON = "common"
    LEAVE = "leave"


class Mode(str, Enum):
    REDRAW = "redraw"
    WARP = "warp"


def yunet_files() -> list[str]:
    """The .onnx files of models/face_detection."""
    names = folder_paths.get_filename_list(YUNET_FOLDER)
    return sorted(name for name in names if name.lower().endswith(".onnx"))


def restorers() -> list[str]:
    """Files to choose from: all of models/facerestore_models, and the known names among the
    upscalers."""
    first, second = (folder_paths.get_filename_list(folder) for folder in RESTORER_FOLDERS)
    known = [name for name in second if any(word in name.lower() for word in _KNOWN)]
    return list(dict.fromkeys([*first, *known]))
