"""What the hosted services do to prompts before sampling: enhancement and translation."""

from comfy_api.latest import io

from ..ensemble.language.expand import expand
from ..ensemble.language.translate import AUTO, FOLDER, LANGUAGES, translate_texts
from ..ensemble.models.loading import folder_names
from ..ensemble.recipes.styles import NAMES, enhance
from .widgets import seed

_NO_MODEL = "none"


class EnsembleEnhancePrompt(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="EnsembleEnhancePrompt",
            display_name="Enhance Prompt",
            category="Ensemble/text",
            description="Adds a style's words to prompt and negative, or lets a language model "
            "write the prompt out.",
            search_aliases=["enhance_prompt", "prompt expansion", "style", "quality words", "LLM"],
            inputs=[
                io.String.Input("prompt", multiline=True, tooltip="Prompt, with or without BREAK."),
                io.String.Input("negative", multiline=True, default="", tooltip="Negative prompt."),
                io.Combo.Input(
                    "style",
                    options=list(NAMES),
                    tooltip="Whose words are added. hosted: those of the service's documentation.",
                ),
                io.Clip.Input(
                    "language_model",
                    optional=True,
                    tooltip="A CLIP that can generate text. It rewrites the prompt; the style's "
                    "words are then added.",
                ),
                seed("Seed of the language model.", advanced=True),
            ],
            outputs=[
                io.String.Output("prompt", tooltip="The prompt to encode."),
                io.String.Output("negative", tooltip="The negative to encode."),
            ],
        )

    @classmethod
    def execute(
        cls, *, prompt: str, negative: str, style: str, language_model=None, seed: int = 0
    ) -> io.NodeOutput:
        if language_model is not None:
            prompt = expand(language_model, prompt, seed)
        return io.NodeOutput(*enhance(prompt, negative, style))


class EnsembleTranslate(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="EnsembleTranslate",
            display_name="Translate Prompt",
            category="Ensemble/text",
            description="Prompts in 52 languages to English, with mBART-50. English is left alone.",
            search_aliases=["multi_lingual", "translation", "mBART", "language"],
            inputs=[
                io.String.Input("prompt", multiline=True, tooltip="Prompt in any language."),
                io.String.Input(
                    "negative", multiline=True, default="", tooltip="Negative, same language."
                ),
                io.Combo.Input(
                    "model",
                    options=[*folder_names(FOLDER), _NO_MODEL],
                    tooltip="Folder in models/translation with an mBART-50 many-to-one or "
                    "many-to-many model.",
                ),
                io.Combo.Input(
                    "language",
                    options=[AUTO, *sorted(LANGUAGES)],
                    tooltip="Language of the texts; auto: recognised from the prompt.",
                ),
            ],
            outputs=[
                io.String.Output("prompt", tooltip="The prompt in English."),
                io.String.Output("negative", tooltip="The negative in English."),
                io.String.Output("language", tooltip="The language it was read as."),
            ],
        )

    @classmethod
    def execute(cls, prompt: str, negative: str, model: str, language: str) -> io.NodeOutput:
        texts, found = translate_texts((prompt, negative), model, language)
        return io.NodeOutput(*texts, found)


NODES = [EnsembleEnhancePrompt, EnsembleTranslate]
