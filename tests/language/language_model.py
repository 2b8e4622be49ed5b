"""Qwen3 0.6B, the smallest language model that core generates text with, with weights made here."""

import json
import struct
from pathlib import Path
from types import SimpleNamespace

import torch

FULL = {
    "vocab_size": 151936,
    "hidden_size": 1024,
    "intermediate_size": 3072,
    "num_hidden_layers": 28,
    "num_attention_heads": 16,
    "num_key_value_heads": 8,
}
SMALL = FULL | {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
}
END = 151645  # <|im_end|>


def library_model(config: dict):
    """transformers' own class, as its file of weights would be read."""
    from transformers import Qwen3Config, Qwen3ForCausalLM

    with torch.device("meta") if config is FULL else torch.device("cpu"):
        return Qwen3ForCausalLM(
            Qwen3Config(**config, head_dim=128, rope_theta=1000000.0, tie_word_embeddings=True)
        ).eval()


def clip_of(weights: dict[str, torch.Tensor], config: dict):
    """Core's CLIP object with these weights, as Load CLIP makes it for a file of full size."""
    import comfy.sd
    from comfy.text_encoders import anima

    target = SimpleNamespace(params={}, clip=anima.te(), tokenizer=anima.AnimaTokenizer)
    return comfy.sd.CLIP(
        target, state_dict=[dict(weights)], model_options={"qwen3_06b_model_config": dict(config)}
    )


def write_says(file: Path, tokens: list[int]) -> None:
    """A file of full size whose model, after tokens[0], says tokens[1:] in turn and ends.

    All but the embedding and the first layer's MLP is zero, so layers add nothing and the file is
    mostly a hole. The MLP turns the axis of each token into that of the next.
    """
    shapes = {
        name: tuple(value.shape)
        for name, value in library_model(FULL).state_dict().items()
        if name != "lm_head.weight"
    }
    header, at = {}, 0
    for name, shape in shapes.items():
        size = 2 * int(torch.tensor(shape).prod())
        header[name] = {"dtype": "F16", "shape": shape, "data_offsets": [at, at + size]}
        at += size
    head = json.dumps(header).encode()
    head += b" " * (-len(head) % 8)
    with file.open("wb") as out:
        out.write(struct.pack("<Q", len(head)) + head)
        start = out.tell()
        out.truncate(start + at)

        def put(name: str, value: torch.Tensor, row: int = 0) -> None:
            wide = 2 * int(torch.tensor(shapes[name][1:]).prod())
            out.seek(start + header[name]["data_offsets"][0] + row * wide)
            out.write(value.half().numpy().tobytes())

        for name, shape in shapes.items():
            if len(shape) == 1:
                put(name, torch.ones(shape))
        mlp = "model.layers.0.mlp."
        for axis, token in enumerate([*tokens, END]):
            one = torch.nn.functional.one_hot(torch.tensor(axis), 1024).half()
            put("model.embed_tokens.weight", one, token)
            if axis < len(tokens):
                put(f"{mlp}gate_proj.weight", one, axis)
                put(f"{mlp}up_proj.weight", one, axis)
                step = torch.zeros(1, 3072)
                step[0, axis] = 1.0
                put(f"{mlp}down_proj.weight", step, axis + 1)
