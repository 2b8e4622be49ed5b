"""Faces mended by a restoration network, and what the face nodes share."""

from typing import TYPE_CHECKING

from comfy_api.latest import io, ui

from ..ensemble.faces.choices import restorers
from .sampling import painter_of
from .types import FaceDetection, FaceLandmarks, People, PoseKeypoint
from .widgets import optional, problem, share

if TYPE_CHECKING:
    from ..ensemble.faces.painters import FacePainter

NO_FILE = "none"


def where() -> tuple[io.Input, ...]:
    """The sockets that say where the faces are."""
    return optional(
        io.BoundingBox.Input(
            "boxes",
            socketless=False,
            force_input=True,
            tooltip="Which faces. If not connected, those with landmarks, else those that are found.",
        ),
        io.MultiType.Input(
            "landmarks",
            types=[FaceLandmarks, PoseKeypoint],
            tooltip="Face landmarks or a pose with faces, by which each face is set upright. If not "
            "connected, MediaPipe's, where its model is there.",
        ),
        People.Input(
            "people",
            tooltip="People of BREAK Regional Prompt: whose face is whose, and where their heads are.",
        ),
        FaceDetection.Input(
            "face_detection",
            tooltip="MediaPipe face model, to find faces and landmarks. If not connected, "
            "detection/mediapipe_face*.safetensors is used, where it exists.",
        ),
    )


def face_painter(people, model, positive, negative) -> "FacePainter | None":
    """What paints faces; None where neither people nor a model with its texts is linked."""
    from ..ensemble.faces.painters import PeoplePainter, PlainPainter

    by = {"from_people": PeoplePainter.of, "from_model": PlainPainter.of}
    return painter_of(people, model, positive, negative, **by)


def answer(image, notes: tuple[str, ...]) -> io.NodeOutput:
    return io.NodeOutput(image, ui=ui.PreviewText("\n".join(notes)) if notes else None)


class NamesPeople(io.ComfyNode):
    """A node with an input `names`: people of the alias file, whose pictures it reads."""

    @classmethod
    def validate_inputs(cls, names: str | None) -> bool | str:
        from ..ensemble.faces.references import reference_files

        return problem(reference_files, names)

    @classmethod
    def fingerprint_inputs(cls, names: str | None = None, **_) -> str:
        from ..ensemble.faces.references import references_fingerprint

        # The pictures behind a name may be others by now.
        return references_fingerprint(names or "")


class EnsembleFaceRestore(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="EnsembleFaceRestore",
            display_name="Restore Faces",
            category="Ensemble/finish",
            description="Sharpens faces with GFPGAN, RestoreFormer or CodeFormer. All else stays.",
            search_aliases=["face correct", "GFPGAN", "CodeFormer", "RestoreFormer", "fix faces"],
            inputs=[
                io.Image.Input("image", tooltip="Picture with faces."),
                io.Combo.Input(
                    "model",
                    options=[*restorers(), NO_FILE],
                    tooltip="File in models/facerestore_models, or one of these kinds in "
                    "models/upscale_models. none: for a stage that is switched off.",
                ),
                share(
                    "strength",
                    1.0,
                    "How much of the restored face shows. 0 leaves the picture as it is.",
                ),
                *where(),
            ],
            outputs=[io.Image.Output("IMAGE", tooltip="The picture with restored faces.")],
        )

    @classmethod
    def execute(cls, *, image, model: str, strength: float, **linked) -> io.NodeOutput:
        if strength == 0:
            return io.NodeOutput(image)
        if model == NO_FILE:
            raise ValueError(
                "model is none: put GFPGAN, RestoreFormer or CodeFormer into "
                "models/facerestore_models and choose it, or switch this stage off."
            )
        from ..ensemble.faces.landmarks import FaceInputs, aligned_faces
        from ..ensemble.faces.restore import load_restorer, restore_faces

        found = aligned_faces(image, FaceInputs(**linked))
        restored = restore_faces(image, found.faces, load_restorer(model), strength)
        return answer(restored, found.notes)


NODES = [EnsembleFaceRestore]
