"""Somebody's own face in the place of another: painted by their LoRA, or warped from a picture."""

from comfy_api.latest import io

from ..ensemble.faces.choices import Mode
from .face_fix import FaceLandmarks, answer, where
from .sampling import sampling, without_people
from .types import PoseKeypoint


class EnsembleFaceSwap(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="EnsembleFaceSwap",
            display_name="Swap Faces",
            category="Ensemble/finish",
            description="Gives people their own faces: painted by their LoRAs, or warped from "
            "pictures of them.",
            search_aliases=["face swap", "faceswap", "replace face", "likeness", "identity"],
            inputs=[
                io.Image.Input("image", tooltip="Picture whose faces are replaced."),
                io.Combo.Input(
                    "mode",
                    options=[mode.value for mode in Mode],
                    default=Mode.REDRAW.value,
                    tooltip="redraw: each person's LoRA paints the face at full size. warp "
                    "(experimental): the face of a reference picture is laid over it.",
                ),
                io.Float.Input(
                    "strength",
                    default=1.0,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip="How much of the new face shows. 0 leaves the picture as it is.",
                ),
                *where(),
                io.Vae.Input("vae", optional=True, tooltip="VAE of the model that paints."),
                *without_people(),
                *_painting(),
                *_warping(),
            ],
            outputs=[io.Image.Output("IMAGE", tooltip="The picture with the new faces.")],
        )

    @classmethod
    def validate_inputs(cls, names: str | None) -> bool | str:
        from ..ensemble.faces.references import reference_files

        # A linked text is None here: it is read when the node runs.
        try:
            reference_files(names or "")
        except ValueError as error:
            return str(error)
        return True

    @classmethod
    def fingerprint_inputs(
        cls, image=None, mode=None, strength=None, boxes=None, landmarks=None, people=None,
        face_detection=None, vae=None, model=None, positive=None, negative=None, seed=None,
        steps=None, cfg=None, sampler=None, scheduler=None, denoise=None, size=None, names=None,
        match_colour=None, thin_plate=None, redraw_after=None, reference=None,
        reference_landmarks=None,
    ) -> str:  # fmt: skip
        from ..ensemble.faces.references import references_fingerprint

        # The pictures behind a name may be others by now.
        return references_fingerprint(names or "")

    @classmethod
    def execute(
        cls, image, mode: str, strength: float, seed: int, steps: int, cfg: float, sampler: str,
        scheduler: str, denoise: float, size: int, names: str, match_colour: float,
        thin_plate: bool, redraw_after: float, boxes=None, landmarks=None, people=None,
        face_detection=None, vae=None, model=None, positive=None, negative=None, reference=None,
        reference_landmarks=None,
    ) -> io.NodeOutput:  # fmt: skip
        from ..ensemble.faces.landmarks import FaceInputs
        from ..ensemble.faces.painters import painter_of
        from ..ensemble.faces.redraw import RedrawSettings
        from ..ensemble.faces.references import linked_references, named_references
        from ..ensemble.faces.swap import Repaint, lay_faces, redraw_faces
        from ..ensemble.faces.warp import Warp

        inputs = FaceInputs(boxes, landmarks, people, face_detection)
        painter = painter_of(people, model, positive, negative) if vae is not None else None

        def repaint(share: float):
            settings = RedrawSettings(seed, steps, cfg, sampler, scheduler, share, size)
            return Repaint(vae, painter, settings) if painter and share > 0 else None

        if Mode(mode) is Mode.REDRAW:
            return _told(redraw_faces(image, inputs, repaint(denoise), strength))
        if reference is not None:
            references = linked_references(reference, reference_landmarks, face_detection)
        else:
            references = named_references(names, face_detection)
        warp = Warp(match_colour, thin_plate)
        return _told(lay_faces(image, inputs, references, warp, repaint(redraw_after), strength))


def _told(swapped) -> io.NodeOutput:
    return answer(swapped.image, swapped.notes)


def _painting() -> list[io.Input]:
    return [
        *sampling("With each person the noise of their face, whoever else is there."),
        io.Float.Input(
            "denoise",
            default=0.5,
            min=0.01,
            max=1.0,
            step=0.01,
            tooltip="redraw: how much of the face is painted anew.",
        ),
        io.Int.Input(
            "size",
            default=0,
            min=0,
            max=4096,
            step=8,
            advanced=True,
            tooltip="Pixels of a face's crop as the model sees it. 0: the model's own.",
        ),
    ]


def _warping() -> list[io.Input]:
    return [
        io.Image.Input(
            "reference",
            optional=True,
            tooltip="warp: one picture per person in the order of people, or of the faces from left "
            "to right; a single one for all.",
        ),
        io.MultiType.Input(
            "reference_landmarks",
            types=[FaceLandmarks, PoseKeypoint],
            optional=True,
            tooltip="Landmarks of reference. Without: MediaPipe's, where its model is there.",
        ),
        io.String.Input(
            "names",
            default="",
            tooltip="warp without reference: people of the alias file whose faces to take, "
            "separated by commas, in the same order.",
        ),
        io.Float.Input(
            "match_colour",
            default=1.0,
            min=0.0,
            max=1.0,
            step=0.05,
            advanced=True,
            tooltip="warp: how far the reference takes on the picture's colours.",
        ),
        io.Boolean.Input(
            "thin_plate",
            default=False,
            advanced=True,
            tooltip="warp: also bend the face so that all landmarks fit. Takes on the expression "
            "and shape of the face below.",
        ),
        io.Float.Input(
            "redraw_after",
            default=0.2,
            min=0.0,
            max=1.0,
            step=0.01,
            advanced=True,
            tooltip="warp: denoise of a redraw over the result, where vae and people or model are "
            "linked. 0 leaves it out.",
        ),
    ]


NODES = [EnsembleFaceSwap]
