"""Model folders that core ComfyUI does not have and the pack's features read."""

import folder_paths

FOLDERS = (
    "luts",
    "ipadapter",
    "facerestore_models",
    "pose_estimation",
    "segmentation",
    "face_detection",
    "face_recognition",
    "safety_checker",
    "translation",
)


def register_model_folders() -> None:
    """Make `models/<name>` known to folder_paths, beside whatever paths the user configured."""
    for name in FOLDERS:
        folder_paths.add_model_folder_path(name, f"{folder_paths.models_dir}/{name}")
