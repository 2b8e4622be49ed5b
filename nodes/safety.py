"""Stable Diffusion's safety checker."""

from comfy_api.latest import io, ui

from ..ensemble.models.loading import folder_names
from ..ensemble.safety.check import FOLDER, OFF, Action, check_pictures
from .widgets import choice


class EnsembleSafetyChecker(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="EnsembleSafetyChecker",
            display_name="Safety Checker",
            category="Ensemble/finish",
            description="Hides pictures that Stable Diffusion's safety checker flags.",
            search_aliases=["nsfw", "safety filter", "sensitive content", "censor"],
            inputs=[
                io.Image.Input("image", tooltip="Pictures to check, one by one."),
                io.Combo.Input(
                    "checker",
                    options=[*folder_names(FOLDER), OFF],
                    tooltip="Folder in models/safety_checker, or off: nothing is checked, and the "
                    "node says so.",
                ),
                choice("action", Action, "What a flagged picture is replaced by."),
            ],
            outputs=[
                io.Image.Output("IMAGE", tooltip="The pictures, flagged ones replaced."),
                io.String.Output(
                    "flagged",
                    tooltip='"off", or yes and no for each picture, separated by commas.',
                ),
            ],
        )

    @classmethod
    def execute(cls, image: io.Image.Type, checker: str, action: str) -> io.NodeOutput:
        pictures, flagged = check_pictures(image, checker, Action(action))
        if flagged is None:
            return io.NodeOutput(pictures, OFF, ui=ui.PreviewText("Safety checker is off."))
        text = f"Safety checker: {sum(flagged)} of {len(flagged)} pictures flagged."
        answer = ", ".join("yes" if flag else "no" for flag in flagged)
        return io.NodeOutput(pictures, answer, ui=ui.PreviewText(text))


NODES = [EnsembleSafetyChecker]
