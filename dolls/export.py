"""Files that ComfyUI loads, from the compact one: `python -m dolls.export compact.safetensors
<ComfyUI>/models`. Writes a checkpoint, the OpenPose ControlNet and the LoRAs."""

import argparse
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from .compact import Compact, read_compact
from .networks.factors import multiply_out
from .networks.text import text_state
from .networks.unet import is_tied
from .world import IDENTITIES

LATENT_SCALE = 0.18215
"""Latents of the sampler are the autoencoder's own; ComfyUI divides SD1.5's by this first."""
State = dict[str, Tensor]


def _half(state: State, prefix: str) -> State:
    return {prefix + key: value.half().contiguous() for key, value in state.items()}


def text_checkpoint() -> State:
    """All keys of a CLIP-L text model; what `text_state` leaves out adds nothing: 0, norms 1."""
    state = text_state()
    layer = {
        "self_attn.q_proj": (768, 768),
        "self_attn.k_proj": (768, 768),
        "self_attn.v_proj": (768, 768),
        "self_attn.out_proj": (768, 768),
        "mlp.fc1": (3072, 768),
        "mlp.fc2": (768, 3072),
    }
    norms = ["final_layer_norm"]
    for i in range(12):
        for name, shape in layer.items():
            key = f"encoder.layers.{i}.{name}"
            state.setdefault(f"{key}.weight", torch.zeros(shape))
            state[f"{key}.bias"] = torch.zeros(shape[0])
        norms += [f"encoder.layers.{i}.layer_norm{k}" for k in (1, 2)]
    for name in norms:
        state[f"{name}.weight"], state[f"{name}.bias"] = torch.ones(768), torch.zeros(768)
    return state


def checkpoint(parts: dict[str, State]) -> State:
    """UNet, autoencoder and text encoder under the keys of an SD1.5 checkpoint, float16."""
    return {
        **_half(multiply_out(parts["unet"]), "model.diffusion_model."),
        **_half(multiply_out(parts["vae"]), "first_stage_model."),
        "first_stage_model.vae_scale": torch.tensor(LATENT_SCALE),
        "first_stage_model.vae_shift": torch.tensor(0.0),
        **_half(text_checkpoint(), "cond_stage_model.transformer.text_model."),
    }


def controlnet(parts: dict[str, State]) -> State:
    """The ControlNet with the UNet's parts in it, float16."""
    trunk = (key for key in parts["unet"] if not key.startswith(("output_blocks", "out.")))
    tied = {key: parts["unet"][key] for key in trunk if is_tied(key)}
    return _half(multiply_out({**tied, **parts["control"]}), "control_model.")


def lora_kohya(state: State) -> State:
    """kohya's keys. state: `<layer>.a` and `<layer>.b`."""
    file: State = {}
    for key, value in state.items():
        name, _, factor = key.rpartition(".")
        base = "lora_unet_" + _diffusers_name(name).replace(".", "_")
        down = factor == "a"
        file[f"{base}.{'lora_down' if down else 'lora_up'}.weight"] = value.half().contiguous()
        file[f"{base}.alpha"] = torch.tensor(float(value.shape[0 if down else 1]))
    return file


def lora_peft(state: State) -> State:
    """PEFT's keys."""
    file: State = {}
    for key, value in state.items():
        name, _, factor = key.rpartition(".")
        file[f"diffusion_model.{name}.lora_{factor.upper()}.weight"] = value.half().contiguous()
    return file


def _diffusers_name(name: str) -> str:
    """input_blocks.3.1.x -> down_blocks.1.attentions.0.x; there is one ResBlock per level."""
    kind, rest = name.split(".", 1)
    if kind == "middle_block":
        return "mid_block.attentions.0." + rest.split(".", 1)[1]
    number, _, tail = rest.split(".", 2)
    i = int(number)
    if kind == "input_blocks":
        return f"down_blocks.{(i - 1) // 2}.attentions.0.{tail}"
    return f"up_blocks.{i // 2}.attentions.{i % 2}.{tail}"


def files(compact: Compact) -> dict[str, State]:
    """State dicts by their place under ComfyUI's models folder; what is not trained is left out."""
    parts = compact.parts
    made = {"checkpoints/paper_dolls.safetensors": checkpoint(parts)}
    if "control" in parts:
        made["controlnet/paper_dolls_openpose.safetensors"] = controlnet(parts)
    for i, who in enumerate(IDENTITIES):
        if f"lora.{i}" in parts:
            name = f"loras/doll_{i + 1}_{who.cls}"
            made[f"{name}.safetensors"] = lora_kohya(parts[f"lora.{i}"])
            if i == 0:
                made[f"{name}_peft.safetensors"] = lora_peft(parts[f"lora.{i}"])
    return made


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m dolls.export", description=__doc__)
    parser.add_argument("compact", type=Path)
    parser.add_argument("models", type=Path, help="ComfyUI's models folder")
    arguments = parser.parse_args(argv)
    compact = read_compact(arguments.compact)
    print(f"trained {compact.steps} steps, finished: {', '.join(compact.done) or 'nothing'}")
    for name, state in files(compact).items():
        path = arguments.models / name
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(state, str(path), {"format": "pt"})
        print(f"{path.stat().st_size / 1e6:8.2f} MB  {path}")


if __name__ == "__main__":
    main()
