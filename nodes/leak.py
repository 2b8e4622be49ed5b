"""The leak meter: whether people stayed themselves, and where each LoRA acts."""

from comfy_api.latest import io, ui

from ..ensemble.leak.choices import EMBEDDERS
from .face_fix import NamesPeople
from .faces import detector_choice, detector_sockets, sources_of, yunet_choice
from .sampling import SamplingSettings, sampling
from .types import People
from .widgets import advanced, choice, decimal, optional, whole


class EnsembleLeakMeter(NamesPeople):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="EnsembleLeakMeter",
            display_name="Leak Meter",
            category="Ensemble/measure",
            description="Measures in a finished picture, by whatever it was made, how much everybody is "
            "themselves and how much somebody else.",
            search_aliases=[
                "identity", "similarity", "ID-Conf", "face compare", "likeness", "evaluate",
                "collapse rate", "count people",
            ],
            is_output_node=True,
            inputs=[
                io.Image.Input("image", tooltip="Finished picture, or several of the same people."),
                *optional(
                    People.Input(
                        "people",
                        tooltip="People of BREAK Regional Prompt: where each should be. If not connected, "
                        "they stand in columns of equal width, from left to right.",
                    ),
                    io.Image.Input(
                        "references",
                        tooltip="A picture of each person, in the order of the prompt; the biggest face of "
                        "each counts.",
                    ),
                ),
                io.String.Input(
                    "names",
                    default="",
                    tooltip="Without references: people of the alias file whose faces to compare with, "
                    "separated by commas, in the order of the prompt.",
                ),
                *detector_sockets(),
                detector_choice(),
                choice(
                    "embedder",
                    EMBEDDERS,
                    "What compares the faces. auto takes the first that is there: SFace, DINOv2. Their "
                    "files belong into models/face_recognition; nothing is downloaded.",
                ),
                decimal(
                    "threshold",
                    0.0,
                    (0.0, 1.0),
                    "Similarity below which somebody is not themselves. 0: 0.363 for SFace, 0.5 for DINOv2.",
                ),
                *advanced(yunet_choice()),
            ],
            outputs=[
                io.Image.Output(
                    "IMAGE",
                    tooltip="The picture with numbered boxes: who each face is, and how much. Green: right.",
                ),
                io.String.Output("report", tooltip="All figures as JSON."),
                io.Float.Output(
                    "right_share",
                    tooltip="Share of people whose face is more like them than like anybody else, 0 to 1; 0 where nobody has one.",
                ),
                io.Float.Output(
                    "id_conf",
                    tooltip="1 - second best / best: how clearly a single face is each person, 0 to 1; 0 "
                    "with fewer than two faces.",
                ),
                io.Int.Output("count", tooltip="Faces found, in all pictures together."),
            ],
        )  # fmt: skip

    @classmethod
    def execute(
        cls, *, image, names: str, detector: str, embedder: str, threshold: float, yunet_model: str,
        people=None, references=None, face_detection=None, pose=None, mask=None,
    ) -> io.NodeOutput:  # fmt: skip
        from ..ensemble.faces.choices import Source
        from ..ensemble.leak.meter import MeterSettings, numbered_people, read_leak, references_of
        from ..ensemble.leak.report import as_json, as_lines

        settings = MeterSettings(embedder=embedder, threshold=threshold, source=Source(detector))
        known = references_of(references, names)
        standing = None if people is None else people.people
        sources = sources_of(yunet_model, face_detection, pose, mask, people)
        readings = read_leak(image, known, standing, sources, settings)
        figures = (readings.mean("right_share") or 0.0, readings.mean("id_conf") or 0.0)
        drawn = numbered_people(image, readings)
        return io.NodeOutput(
            drawn, as_json(readings), *figures, readings.count,
            ui=_shown(cls, drawn, as_lines(readings)),
        )  # fmt: skip


class EnsembleEffectMatrix(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="EnsembleEffectMatrix",
            display_name="Effect Matrix",
            category="Ensemble/measure",
            description="Samples with each person's LoRA on and off, and shows how much of it acts in "
            "everybody's region. Needs no picture of anybody.",
            search_aliases=["leakage", "lora leak", "bleeding", "measure lora", "isolation test"],
            is_output_node=True,
            inputs=[
                People.Input(
                    "people",
                    tooltip="People of BREAK Regional Prompt, two or more, with their LoRAs.",
                ),
                io.Latent.Input("latent", tooltip="Empty latent of the picture's size."),
                *sampling("The first seed."),
                whole(
                    "seeds",
                    3,
                    (1, 100),
                    "How many seeds, counted up from seed. Each takes one run more than there are people; "
                    "the 95 % interval needs two.",
                ),
            ],
            outputs=[
                io.Image.Output(
                    "IMAGE", tooltip="The matrix: a row for each LoRA, a column for each region."
                ),
                io.String.Output("report", tooltip="The matrix with its intervals, as JSON."),
                io.Float.Output(
                    "leak",
                    tooltip="Mean effect in other people's regions, in parts of that in one's own: 0 is "
                    "none, 1 as much.",
                ),
            ],
        )

    @classmethod
    def execute(cls, *, people, latent, seed: int, seeds: int, **by) -> io.NodeOutput:
        from ..ensemble.leak.draw_effects import as_json, picture
        from ..ensemble.leak.effects import effects_of_people, seeds_of

        settings = SamplingSettings(seed=seed, **by)
        effects = effects_of_people(people, latent, settings, seeds)
        notes = [
            f"person {who + 1}: the LoRA has no effect in their own region"
            for who in effects.without_effect
        ]
        drawn = picture(effects)
        report = as_json(effects, seeds_of(seed, seeds), tuple(notes))
        mean, half = effects.leak
        line = f"effect in others' regions: {mean:.3f}" + ("" if half is None else f" ± {half:.3f}")
        return io.NodeOutput(
            drawn, report, 0.0 if mean != mean else mean, ui=_shown(cls, drawn, [line, *notes])
        )


def _shown(cls: type[io.ComfyNode], drawn, lines: list[str]) -> dict:
    """A picture and a text under the node."""
    return {**ui.PreviewImage(drawn, cls=cls).as_dict(), "text": ("\n".join(lines),)}


NODES = [EnsembleLeakMeter, EnsembleEffectMatrix]
