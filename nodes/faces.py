"""Every face redrawn at full resolution, as the right person."""

from typing import TYPE_CHECKING

from comfy_api.latest import io, ui

from ..ensemble.faces.choices import Source, Unmatched, yunet_files
from .face_fix import face_painter
from .sampling import NO_PAINTER, SamplingSettings, sampling, without_people
from .types import FaceDetection, People, PoseKeypoint
from .widgets import advanced, choice, decimal, optional, share, whole

if TYPE_CHECKING:
    from ..ensemble.faces.detect import Sources

FIRST_FILE = "first in folder"


class FaceInpaint(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="FaceInpaint",
            display_name="Face Inpaint",
            category="Ensemble",
            description="Finds every face, matches it to its person, redraws all of them in one sampler run "
            "with each person's text and LoRA, and puts them back without touching another pixel.",
            search_aliases=[
                "face detailer",
                "adetailer",
                "face fix",
                "inpaint faces",
                "inpaint_faces",
                "group picture",
                "several faces",
                "face restore",
                "yunet",
            ],
            inputs=[*_linked(), *_repainting(), *_faces()],
            outputs=[
                io.Image.Output("IMAGE", tooltip="The picture with its faces redrawn."),
                io.Mask.Output("MASK", tooltip="How much of each pixel is new."),
                io.BoundingBox.Output(
                    "boxes",
                    tooltip="The faces, left to right, labelled with their person. For DrawBBoxes "
                    "and the face nodes.",
                ),
                io.Image.Output(
                    "numbered", tooltip="The picture with numbered boxes: which face was whose."
                ),
            ],
        )

    @classmethod
    def execute(
        cls, *, image, vae, detector: str, unmatched: str, size: int, context: float, grow: float,
        feather: float, max_faces: int, yunet_model: str, people=None, model=None, positive=None,
        negative=None, face_detection=None, pose=None, mask=None, **sampling,
    ) -> io.NodeOutput:  # fmt: skip
        # The whole room of faces is loaded when the first face is redrawn.
        from ..ensemble.faces.crop import Oval
        from ..ensemble.faces.inpaint import FaceSettings, face_inpaint, numbered_faces
        from ..ensemble.faces.redraw import RedrawSettings

        painter = face_painter(people, model, positive, negative)
        if painter is None:
            raise ValueError(NO_PAINTER)
        sources = sources_of(yunet_model, face_detection, pose, mask, people)
        redraw = RedrawSettings(
            sampling=SamplingSettings(**sampling),
            size=size,
            context=context,
            oval=Oval(grow=grow, feather=feather),
        )
        settings = FaceSettings(
            redraw=redraw,
            source=Source(detector),
            unmatched=Unmatched(unmatched),
            max_faces=max_faces,
        )
        done = face_inpaint(image, vae, painter, sources, settings)
        drawn = numbered_faces(image, done.seen)
        shown = ui.PreviewImage(drawn, cls=cls)
        return io.NodeOutput(done.image, done.mask, done.boxes, drawn, ui=shown)


def _linked() -> list:
    return [
        io.Image.Input("image", tooltip="Picture, or several of one size."),
        io.Vae.Input("vae", tooltip="VAE of the model."),
        *optional(
            People.Input(
                "people",
                tooltip="People of BREAK Regional Prompt: each face gets its person's text, negative "
                "and LoRA. Wins over model.",
            ),
            *without_people("Prompt for all faces", "Negative for all faces"),
        ),
        *detector_sockets(),
    ]


def _repainting() -> list:
    return [
        *sampling(
            "Each person's noise follows from this and the person, whoever else is there.",
            "Sampler. dpm_adaptive is refused: its faces would change each other.",
        ),
        share("denoise", 0.5, "How much is redrawn. 0 only finds the faces."),
    ]


def _faces() -> list:
    return [
        detector_choice(),
        choice(
            "unmatched",
            Unmatched,
            "Faces that belong to none of the people: redraw them with the common prompt (common), "
            "or leave them as they are (leave).",
        ),
        *advanced(
            whole(
                "size",
                0,
                (0, 4096),
                "Side of a crop as the model sees it, in pixels. 0: 512 for SD 1 and 2, else 1024.",
                step=64,
            ),
            decimal(
                "context",
                2.0,
                (1.0, 8.0),
                "Side of a crop in sides of the face. A larger crop shows the model more of what is "
                "around it.",
                step=0.1,
            ),
            decimal(
                "grow",
                0.15,
                (-0.3, 1.0),
                "How far beyond the face's oval the picture is redrawn, in sides of the face.",
            ),
            share("feather", 0.15, "Width of the soft edge, in sides of the face."),
            whole(
                "max_faces",
                32,
                (1, 1000),
                "Where a picture shows more faces than this, those of people are redrawn first, "
                "then the largest.",
            ),
            yunet_choice(),
        ),
    ]


def detector_sockets() -> tuple[io.Input, ...]:
    """What detectors of faces can be given."""
    return optional(
        FaceDetection.Input(
            "face_detection",
            tooltip="MediaPipe face model of core's Load Face Detection Model.",
        ),
        PoseKeypoint.Input("pose", tooltip="Skeletons, whose heads show where the faces are."),
        io.Mask.Input("mask", tooltip="Where the faces are; each separate patch is one."),
    )


def detector_choice() -> io.Combo.Input:
    return choice(
        "detector",
        Source,
        "How faces are found. auto takes the first of these that is there: mask, "
        "face_detection, a YuNet file, a MediaPipe file, pose, the heads of people; else a weak "
        "detector, with a warning.",
    )


def yunet_choice() -> io.Combo.Input:
    files = [FIRST_FILE, *yunet_files()]
    return choice("yunet_model", files, "YuNet file of models/face_detection.")


def sources_of(yunet_model: str, face_detection, pose, mask, people) -> "Sources":
    """What these inputs say about where the faces are."""
    from ..ensemble.faces.detect import Sources

    yunet = "" if yunet_model == FIRST_FILE else yunet_model
    return Sources(mask=mask, face_detection=face_detection, yunet=yunet, pose=pose, people=people)


NODES = [FaceInpaint]
