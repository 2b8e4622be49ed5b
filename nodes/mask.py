"""Words -> the mask of what will be repainted."""

from comfy_api.latest import io, ui

from ..ensemble.segment.backend import Sockets
from ..ensemble.segment.overlay import overlay
from ..ensemble.segment.registry import BACKENDS, CHOICES, available
from ..ensemble.segment.request import read_request
from ..ensemble.segment.select import mask_from_words
from .types import FaceDetection
from .widgets import advanced, choice, optional, problem, share, switch


class MaskFromPrompt(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="MaskFromPrompt",
            display_name="Mask from Prompt",
            category="Ensemble",
            description="A soft mask from words: select, subtract, clean, grow or shrink, invert. "
            "White will be repainted.",
            search_aliases=[
                "text mask",
                "mask by text",
                "text to mask",
                "prompt mask",
                "segment by text",
                "clipseg",
                "sam3 mask",
                "grounding dino",
                "clothes segmentation",
                "face parsing",
                "remove background",
                "mask_prompt",
            ],
            inputs=[
                io.Image.Input("image", tooltip="Pictures to look at, at the size you work in."),
                io.String.Input(
                    "words",
                    default="foreground",
                    tooltip="What to select: words separated by commas or spaces, phrases in "
                    "quotes; all are joined. The flags --mask_prompt, --mask_negative, "
                    "--mask_invert and --mask_dilate may stand here too, and win over the widgets.",
                ),
                io.String.Input(
                    "negative",
                    default="",
                    tooltip="What to take out of the selection, written like words.",
                ),
                switch(
                    "invert", False, "Repaint everything but the selection. Comes after dilate."
                ),
                io.String.Input(
                    "dilate",
                    default="0",
                    tooltip="Grow the selection, or shrink it where negative: pixels of this "
                    "picture, or percent of the selection's radius like -20%.",
                ),
                io.String.Input(
                    "feather",
                    default="0",
                    tooltip="Width of the soft edge, half of it on either side: pixels, or percent "
                    "of the selection's radius. 0 keeps the edge as it was cut.",
                ),
                *advanced(
                    share(
                        "threshold",
                        0.0,
                        "Least likelihood that counts as found. 0: the backend's own ("
                        + ", ".join(f"{b.title} {b.threshold:g}" for b in BACKENDS if b.files)
                        + ").",
                    ),
                    choice(
                        "backend",
                        CHOICES,
                        "auto: for each word the best model that is linked or in its folder.",
                    ),
                    share(
                        "fill_holes",
                        0.02,
                        "Holes smaller than this share of the selection are filled.",
                    ),
                    share(
                        "drop_islands",
                        0.02,
                        "Parts smaller than this share of the largest part are dropped.",
                    ),
                ),
                *optional(
                    io.Mask.Input(
                        "mask", tooltip="A ready selection. It wins over words and negative."
                    ),
                    io.Model.Input(
                        "sam3_model",
                        tooltip="SAM 3 from Load Checkpoint, together with sam3_clip. If not connected, "
                        "checkpoints/sam3*.safetensors is used, where it exists.",
                    ),
                    io.Clip.Input("sam3_clip", tooltip="The CLIP of the SAM 3 checkpoint."),
                    io.BackgroundRemoval.Input(
                        "background_removal",
                        tooltip="BiRefNet, for foreground and background. If not connected, the first file in "
                        "models/background_removal is used.",
                    ),
                    FaceDetection.Input(
                        "face_detection",
                        tooltip="MediaPipe face model, for face, eyes and lips. If not connected, "
                        "detection/mediapipe_face*.safetensors is used, where it exists.",
                    ),
                ),
            ],
            outputs=[
                io.Mask.Output("mask", tooltip="The final mask, soft. White will be repainted."),
            ],
        )

    @classmethod
    def validate_inputs(
        cls, words: str | None, dilate: str | None, feather: str | None
    ) -> bool | str:
        return problem(
            lambda w, d, f: read_request(words=w, dilate=d, feather=f), words, dilate, feather
        )

    @classmethod
    def fingerprint_inputs(cls, **_) -> str:
        # A model put into its folder since the last run can be a better answer to the same words.
        return available()

    @classmethod
    def execute(
        cls, *, image, mask=None, sam3_model=None, sam3_clip=None, background_removal=None,
        face_detection=None, **widgets,
    ) -> io.NodeOutput:  # fmt: skip
        sockets = Sockets(
            sam3_model=sam3_model,
            sam3_clip=sam3_clip,
            background_removal=background_removal,
            face_detection=face_detection,
        )
        result = mask_from_words(read_request(**widgets), image, sockets, mask)
        preview = ui.PreviewImage(overlay(image, result.mask), cls=cls).as_dict()
        return io.NodeOutput(result.mask, ui={**preview, **ui.PreviewText(result.report).as_dict()})


NODES = [MaskFromPrompt]
