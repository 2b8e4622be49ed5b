"""Files that ComfyUI loads, unfolded from the narrow weights: `python -m dolls.export
<ComfyUI>/models` writes a checkpoint, the OpenPose ControlNet and the LoRAs."""

import argparse
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from . import unfold
from .networks.text import text_state
from .networks.unet import ControlNet, UNet, lora_layers
from .weights import SHIPPED, Parts, read_parts
from .world import IDENTITIES

LATENT_SCALE = 0.18215
"""Latents of the sampler are the autoencoder's own; ComfyUI divides SD1.5's by this first."""
State = dict[str, Tensor]


def _half(state: State, prefix: str = "") -> State:
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


def checkpoint(parts: Parts) -> State:
    """UNet, autoencoder and text encoder under the keys of an SD1.5 checkpoint, float16."""
    return {
        **_half(unfold.net(_unet(parts)), "model.diffusion_model."),
        **_half(unfold.autoencoder(parts["vae"].state), "first_stage_model."),
        "first_stage_model.vae_scale": torch.tensor(LATENT_SCALE),
        "first_stage_model.vae_shift": torch.tensor(0.0),
        **_half(text_checkpoint(), "cond_stage_model.transformer.text_model."),
    }


def controlnet(parts: Parts) -> State:
    """The OpenPose ControlNet under cldm's keys, float16."""
    net = ControlNet()
    net.load_state_dict(parts["control"].state, strict=False)
    net.tie(parts["unet"].state)
    return _half(unfold.net(net), "control_model.")


def _unet(parts: Parts) -> UNet:
    net = UNet()
    net.load_state_dict(parts["unet"].state)
    return net


def lora_kohya(state: State) -> State:
    """kohya's keys. state: `<layer>.a` and `<layer>.b`."""
    file: State = {}
    for key, value in state.items():
        name, _, factor = key.rpartition(".")
        base = "lora_unet_" + _diffusers_name(name).replace(".", "_")
        down = factor == "a"
        file[f"{base}.{'lora_down' if down else 'lora_up'}.weight"] = value
        file[f"{base}.alpha"] = torch.tensor(float(value.shape[0 if down else 1]))
    return file


def lora_peft(state: State) -> State:
    """PEFT's keys."""
    file: State = {}
    for key, value in state.items():
        name, _, factor = key.rpartition(".")
        file[f"diffusion_model.{name}.lora_{factor.upper()}.weight"] = value
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


def files(parts: Parts) -> dict[str, State]:
    """State dicts by their place under ComfyUI's models folder; what is not trained is left out."""
    made = {"checkpoints/paper_dolls.safetensors": checkpoint(parts)}
    if "control" in parts:
        made["controlnet/paper_dolls_openpose.safetensors"] = controlnet(parts)
    layers = list(lora_layers(UNet()))
    for i, who in enumerate(IDENTITIES):
        if f"lora_{i + 1}" in parts:
            factors = unfold.lora(layers, parts[f"lora_{i + 1}"].state)
            name = f"loras/doll_{i + 1}_{who.cls}"
            made[f"{name}.safetensors"] = _half(lora_kohya(factors))
            if i == 0:
                made[f"{name}_peft.safetensors"] = _half(lora_peft(factors))
    return made


def export(weights: Path, models: Path) -> list[Path]:
    """Write what `files` makes of the parts in a folder; what was written.

    Raises FileNotFoundError where autoencoder or UNet is not there."""
    parts = read_parts(weights)
    for name in ("vae", "unet"):
        if name not in parts:
            raise FileNotFoundError(f"{weights / name}.safetensors: train it, see dolls/README.md")
    written = []
    for name, state in files(parts).items():
        path = models / name
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(state, str(path), {"format": "pt"})
        written.append(path)
    return written


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m dolls.export", description=__doc__)
    parser.add_argument("models", type=Path, help="ComfyUI's models folder")
    parser.add_argument("--weights", type=Path, default=SHIPPED, help="dolls/weights")
    arguments = parser.parse_args(argv)
    for name, part in read_parts(arguments.weights).items():
        print(f"{name}: {part.note.steps} steps, {part.note.samples} samples")
    for path in export(arguments.weights, arguments.models):
        print(f"{path.stat().st_size / 1e6:8.2f} MB  {path}")


if __name__ == "__main__":
    main()
