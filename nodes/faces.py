"""Every face redrawn at full resolution, as the right person."""

from comfy_api.latest import io, ui

from ..ensemble.faces.choices import Source, Unmatched, yunet_files
from .mask import FaceDetection
from .sampling import sampling, without_people
from .types import People, PoseKeypoint

FIRST_FILE = "first in folder"


class FaceInpaint(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="FaceInpaint",
            display_name="Face Inpaint",
            category="Ensemble",
            description="Finds every face, tells whose it is, redraws all of them in one sampler run "
            "with each person's text and LoRA, and puts them back without touching another pixel.",
            search_aliases=[
                "face detailer",
                "adetailer",
                "face fix",
                "inpaint faces",
                "inpaint_faces",
                "group picture",
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
        cls, image, vae, seed: int, steps: int, cfg: float, sampler: str, scheduler: str,
        denoise: float, detector: str, unmatched: str, size: int, context: float, grow: float,
        feather: float, max_faces: int, yunet_model: str, people=None, model=None, positive=None,
        negative=None, face_detection=None, pose=None, mask=None,
    ) -> io.NodeOutput:  # fmt: skip
        # The whole room of faces is loaded when the first face is redrawn.
        from ..ensemble.faces.crop import Oval
        from ..ensemble.faces.detect import Sources
        from ..ensemble.faces.inpaint import FaceSettings, face_inpaint
        from ..ensemble.faces.painters import painter_of
        from ..ensemble.faces.redraw import RedrawSettings

        painter = painter_of(people, model, positive, negative)
        if painter is None:
            raise ValueError("Link people, or model, positive and negative.")
        yunet = "" if yunet_model == FIRST_FILE else yunet_model
        sources = Sources(mask, face_detection, yunet, pose, people)
        redraw = RedrawSettings(
            seed, steps, cfg, sampler, scheduler, denoise, size, context, Oval(grow, feather)
        )
        settings = FaceSettings(redraw, Source(detector), Unmatched(unmatched), max_faces)
        done = face_inpaint(image, vae, painter, sources, settings)
        shown = ui.PreviewImage(done.numbered, cls=cls)
        return io.NodeOutput(done.image, done.mask, done.boxes, done.numbered, ui=shown)


def _linked() -> list:
    return [
        io.Image.Input("image", tooltip="Picture, or several of one size."),
        io.Vae.Input("vae", tooltip="VAE of the model."),
        People.Input(
            "people",
            optional=True,
            tooltip="People of BREAK Regional Prompt: each face gets its person's text, negative "
            "and LoRA. Wins over model.",
        ),
        *without_people("Prompt for all faces", "Negative for all faces"),
        FaceDetection.Input(
            "face_detection",
            optional=True,
            tooltip="MediaPipe face model of core's Load Face Detection Model.",
        ),
        PoseKeypoint.Input(
            "pose", optional=True, tooltip="Skeletons; their heads tell where the faces are."
        ),
        io.Mask.Input(
            "mask", optional=True, tooltip="Where the faces are; each separate patch is one."
        ),
    ]


def _repainting() -> list:
    return [
        *sampling(
            "Each person's noise follows from this and the person, whoever else is there.",
            "Sampler. dpm_adaptive is refused: its faces would change each other.",
        ),
        io.Float.Input(
            "denoise",
            default=0.5,
            min=0.0,
            max=1.0,
            step=0.01,
            tooltip="How much is redrawn. 0 only finds the faces.",
        ),
    ]


def _faces() -> list:
    return [
        io.Combo.Input(
            "detector",
            options=[source.value for source in Source],
            default=Source.AUTO.value,
            tooltip="How faces are found. auto: mask, face_detection, a YuNet file, a MediaPipe "
            "file, pose, heads of people, or a weak guess with a warning; the first there is.",
        ),
        io.Combo.Input(
            "unmatched",
            options=[choice.value for choice in Unmatched],
            default=Unmatched.COMMON.value,
            tooltip="Faces that are none of people's: redrawn with the common prompt, or left.",
        ),
        io.Int.Input(
            "size",
            default=0,
            min=0,
            max=4096,
            step=64,
            advanced=True,
            tooltip="Side of a crop as the model sees it, px. 0: 512 for SD 1 and 2, else 1024.",
        ),
        io.Float.Input(
            "context",
            default=2.0,
            min=1.0,
            max=8.0,
            step=0.1,
            advanced=True,
            tooltip="Side of a crop in sides of the face. More shows the model more around it.",
        ),
        io.Float.Input(
            "grow",
            default=0.15,
            min=-0.3,
            max=1.0,
            step=0.01,
            advanced=True,
            tooltip="How far beyond the face's oval is redrawn, in sides of the face.",
        ),
        io.Float.Input(
            "feather",
            default=0.15,
            min=0.0,
            max=1.0,
            step=0.01,
            advanced=True,
            tooltip="Width of the soft edge, in sides of the face.",
        ),
        io.Int.Input(
            "max_faces",
            default=32,
            min=1,
            max=1000,
            advanced=True,
            tooltip="Of more faces in a picture, people's own and then the largest are redrawn.",
        ),
        io.Combo.Input(
            "yunet_model",
            options=[FIRST_FILE, *yunet_files()],
            default=FIRST_FILE,
            advanced=True,
            tooltip="YuNet file of models/face_detection.",
        ),
    ]


NODES = [FaceInpaint]
