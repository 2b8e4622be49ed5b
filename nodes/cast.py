"""People by name: `@ann` in a prompt becomes everything that makes her."""

from comfy_api.latest import io

from ..ensemble.lora.aliases import read_aliases, read_cast_or_aliases
from ..ensemble.prompt.cast import expand, expand_negative

EXAMPLE = (
    '{"people": {\n  "ann": {"words": "a woman with red hair", "lora": "", "negative": ""}\n}}'
)


class EnsembleCast(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="EnsembleCast",
            display_name="Cast",
            category="Ensemble/text",
            description="People by name: @ann in a prompt becomes her words, her trigger and her "
            "LoRA's tag, and what she must not have goes into the negative.",
            search_aliases=[
                "cast",
                "character sheet",
                "people",
                "@name",
                "characters",
                "two characters",
                "several people",
                "character lora",
            ],
            inputs=[
                io.String.Input(
                    "text",
                    multiline=True,
                    tooltip="Prompt, with or without BREAK. @ann is Ann; a plain @ has a backslash before it.",
                ),
                io.String.Input(
                    "negative",
                    multiline=True,
                    default="",
                    tooltip="Negative, with or without BREAK; people add theirs to their own part.",
                ),
                io.String.Input(
                    "cast",
                    multiline=True,
                    default=EXAMPLE,
                    tooltip="The people as JSON; it is saved with the workflow. Empty: those of the "
                    "alias file.",
                ),
            ],
            outputs=[
                io.String.Output("text", tooltip="The prompt with its people in place."),
                io.String.Output("negative", tooltip="The negative with what they add."),
                io.String.Output("people", tooltip="Who was named, a name a line."),
            ],
        )

    @classmethod
    def validate_inputs(cls, text="", negative="", cast="") -> bool | str:
        """Checks what is typed; what is linked in is checked when it runs."""
        try:
            if cast is not None:
                people = read_cast_or_aliases(cast)
                for each in (text, negative):
                    expand(each or "", people)
        except ValueError as error:
            return str(error)
        return True

    @classmethod
    def fingerprint_inputs(cls, text="", negative="", cast="") -> str:
        """The alias file may have changed where its people are meant."""
        return "" if cast is None or cast.strip() else repr(sorted(read_aliases().people.items()))

    @classmethod
    def execute(cls, *, text: str, negative: str, cast: str) -> io.NodeOutput:
        people = read_cast_or_aliases(cast)
        found = expand(text, people)
        negative = expand_negative(expand(negative, people).text, text, people)
        names = "\n".join(member.name for member in found.people)
        return io.NodeOutput(found.text, negative, names)


NODES = [EnsembleCast]
