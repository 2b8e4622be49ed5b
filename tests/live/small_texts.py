"""A custom node for tests: the small CLIP, its vectors cut or repeated to the width that a model
reads. No text encoder of a language model is small enough for a test."""

import torch
from comfy_api.latest import ComfyExtension, io


class Wide:
    """A CLIP whose conditioning has `width` channels and `tokens` tokens."""

    def __init__(self, clip, width: int, tokens: int):
        self.clip, self.width, self.tokens = clip, width, tokens

    def __getattr__(self, name):
        return getattr(self.clip, name)

    def clone(self):
        return Wide(self.clip.clone(), self.width, self.tokens)

    def encode_from_tokens_scheduled(self, tokens):
        conditioning = self.clip.encode_from_tokens_scheduled(tokens)
        return [[self._fitted(context), values] for context, values in conditioning]

    def _fitted(self, context: torch.Tensor) -> torch.Tensor:
        context = context[:, : self.tokens]
        return context.repeat(1, 1, -(-self.width // context.shape[2]))[..., : self.width]


class WideClip(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="TestWideClip",
            inputs=[io.Clip.Input("clip"), io.Int.Input("width"), io.Int.Input("tokens")],
            outputs=[io.Clip.Output()],
        )

    @classmethod
    def execute(cls, clip, width, tokens) -> io.NodeOutput:
        return io.NodeOutput(Wide(clip, width, tokens))


class Extension(ComfyExtension):
    async def get_node_list(self):
        return [WideClip]


async def comfy_entrypoint():
    return Extension()
