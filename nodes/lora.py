"""LoRA stacks by name."""

from comfy_api.latest import io
from server import PromptServer

from ..ensemble.lora.cache import TENSORS
from ..ensemble.lora.choose import OnMissing, check, fingerprint, read_stack
from ..ensemble.lora.stack import load_stack
from .widgets import advanced, choice, optional


class MultiLoraLoader(io.ComfyNode):
    def __init__(self) -> None:
        # Core keeps node objects as long as its cache: what they hold is freed by "free memory".
        self.lease = TENSORS.lease()

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="MultiLoraLoader",
            display_name="Multi LoRA Loader",
            category="Ensemble",
            description="Several LoRAs by name, each with its strength, merged into one model.",
            search_aliases=[
                "lora stack",
                "lora list",
                "load loras",
                "lora tag",
                "lora multi",
                "power lora",
                "power lora loader",
                "character lora",
                "several loras",
            ],
            inputs=[
                io.Model.Input("model", tooltip="The diffusion model the LoRAs change."),
                *optional(
                    io.Clip.Input(
                        "clip",
                        tooltip="The text encoder that the LoRAs change. If not connected, only the model is changed.",
                    ),
                    io.String.Input(
                        "loras",
                        default="",
                        tooltip="Names with commas between: ganyu-lora,more_details. A name is a file with "
                        "or without folder and extension, or an id of the alias file. Put a name that "
                        "holds a comma in quotes.",
                    ),
                    io.String.Input(
                        "strengths",
                        default="",
                        tooltip="One number for all, or one for each name: 1,0.6. With 1:0.5 the text encoder has "
                        "a strength of its own. Empty means 1.",
                    ),
                    io.String.Input(
                        "prompt",
                        default="",
                        multiline=True,
                        dynamic_prompts=True,
                        tooltip="Text that may hold more LoRAs as <lora:name:strength> or "
                        "<lora:name:strength:clip strength>. It comes out without the tags.",
                    ),
                    *advanced(
                        choice(
                            "on_missing",
                            OnMissing,
                            "What to do about a name that is no file. error: stop. skip: go on "
                            "without it and say so in the report.",
                        )
                    ),
                ),
            ],
            outputs=[
                io.Model.Output(tooltip="The model with every LoRA merged in."),
                io.Clip.Output(tooltip="The text encoder with every LoRA merged in."),
                io.String.Output(display_name="prompt", tooltip="The prompt without LoRA tags."),
                io.String.Output(
                    display_name="triggers",
                    tooltip="The words the files' metadata say they were trained on.",
                ),
                io.String.Output(
                    display_name="report",
                    tooltip="JSON: each file, its strengths, how many of its keys fit, its base "
                    "model and hashes, and what was skipped.",
                ),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def validate_inputs(cls, loras="", strengths="", prompt="", on_missing="error") -> bool | str:
        return check(loras, strengths, prompt, on_missing)

    @classmethod
    def fingerprint_inputs(
        cls, model, clip=None, loras="", strengths="", prompt="", on_missing="error"
    ) -> str:
        linked = loras is None or prompt is None
        return fingerprint(None if linked else read_stack(loras, strengths, prompt).requests)

    @classmethod
    def execute(
        cls, model, clip=None, loras="", strengths="", prompt="", on_missing="error"
    ) -> io.NodeOutput:
        stack = load_stack(model, clip, loras, strengths, prompt, OnMissing(on_missing))
        if cls.hidden.unique_id:
            PromptServer.instance.send_progress_text(stack.summary, cls.hidden.unique_id)
        return io.NodeOutput(stack.model, stack.clip, stack.prompt, stack.triggers, stack.report)


NODES = [MultiLoraLoader]
