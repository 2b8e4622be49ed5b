"""Somebody's own face in the place of another: painted by their LoRA, or warped from a picture."""

from comfy_api.latest import io

from ..ensemble.faces.choices import Mode
from .face_fix import NamesPeople, answer, face_painter, where
from .sampling import SamplingSettings, sampling, without_people
from .types import FaceLandmarks, PoseKeypoint
from .widgets import advanced, choice, decimal, optional, share, switch, whole


class EnsembleFaceSwap(NamesPeople):
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
                choice(
                    "mode",
                    Mode,
                    "redraw: each person's LoRA paints the face at full size. warp (experimental): "
                    "the face of a reference picture is laid over it.",
                ),
                share(
                    "strength",
                    1.0,
                    "How much of the new face shows. 0 leaves the picture as it is.",
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
    def execute(
        cls, *, image, mode: str, strength: float, denoise: float, size: int, names: str,
        match_colour: float, thin_plate: bool, redraw_after: float, boxes=None, landmarks=None,
        people=None, face_detection=None, vae=None, model=None, positive=None, negative=None,
        reference=None, reference_landmarks=None, **sampling,
    ) -> io.NodeOutput:  # fmt: skip
        from ..ensemble.faces.landmarks import FaceInputs
        from ..ensemble.faces.redraw import RedrawSettings
        from ..ensemble.faces.references import linked_references, named_references
        from ..ensemble.faces.swap import Repaint, lay_faces, redraw_faces
        from ..ensemble.faces.warp import Warp

        inputs = FaceInputs(
            boxes=boxes, landmarks=landmarks, people=people, face_detection=face_detection
        )
        painter = face_painter(people, model, positive, negative) if vae is not None else None

        def repaint(denoise: float) -> Repaint | None:
            if painter is None or denoise == 0:
                return None
            by = SamplingSettings(denoise=denoise, **sampling)
            settings = RedrawSettings(sampling=by, size=size)
            return Repaint(vae=vae, painter=painter, settings=settings)

        if Mode(mode) is Mode.REDRAW:
            return answer(redraw_faces(image, inputs, repaint(denoise), strength), ())
        if reference is not None:
            references = linked_references(reference, reference_landmarks, face_detection)
        else:
            references = named_references(names, face_detection)
        warp = Warp(match_colour=match_colour, thin_plate=thin_plate)
        swapped = lay_faces(image, inputs, references, warp, repaint(redraw_after), strength)
        return answer(swapped.image, swapped.notes)


def _painting() -> list[io.Input]:
    return [
        *sampling("Each person's noise follows from this and the person, whoever else is there."),
        decimal("denoise", 0.5, (0.01, 1.0), "redraw: how much of the face is painted anew."),
        *advanced(
            whole(
                "size",
                0,
                (0, 4096),
                "Pixels of a face's crop as the model sees it. 0: the model's own.",
                step=8,
            )
        ),
    ]


def _warping() -> list[io.Input]:
    return [
        *optional(
            io.Image.Input(
                "reference",
                tooltip="warp: one picture per person in the order of people, or of the faces from left "
                "to right; a single one for all.",
            ),
            io.MultiType.Input(
                "reference_landmarks",
                types=[FaceLandmarks, PoseKeypoint],
                tooltip="Landmarks of reference. If not connected, MediaPipe's, where its model is there.",
            ),
        ),
        io.String.Input(
            "names",
            default="",
            tooltip="warp without reference: people of the alias file whose faces to take, "
            "separated by commas, in the same order.",
        ),
        *advanced(
            share(
                "match_colour",
                1.0,
                "warp: how far the reference takes on the picture's colours.",
                step=0.05,
            ),
            switch(
                "thin_plate",
                False,
                "warp: also bend the face so that all landmarks fit. It then takes on the expression "
                "and the shape of the face below.",
            ),
            share(
                "redraw_after",
                0.2,
                "warp: the result is redrawn with this denoise, where vae and people or model are "
                "linked. 0: it is not.",
            ),
        ),
    ]


NODES = [EnsembleFaceSwap]
