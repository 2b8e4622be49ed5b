"""Exported files through ComfyUI's own loaders do what the networks do.

Weights are float16; both sides compute in float32 on the CPU, so what differs is the order of sums
and the rounding of products to float16 (one part in 2048).
"""

import comfy.controlnet
import comfy.sd
import comfy.utils
import pytest
import torch

from dolls import export
from dolls.compact import read_compact, write_compact
from dolls.networks.unet import lora_layers
from dolls.world.words import tokens

pytestmark = pytest.mark.long

SHARE = 0.02  # of the output's spread; a wrong layer costs far more than 0.3


def error(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    ours, theirs = ours.detach().float(), theirs.detach().float()
    return float((ours - theirs).abs().max() / ours.std())


@pytest.fixture(scope="module")
def folder(compact, tmp_path_factory):
    models = tmp_path_factory.mktemp("models")
    write_compact(models / "compact.safetensors", compact)
    export.main([str(models / "compact.safetensors"), str(models)])
    return models


@pytest.fixture(scope="module")
def loaded(folder):
    """Model, CLIP and VAE as CheckpointLoaderSimple gives them, in float32."""
    path = str(folder / "checkpoints" / "paper_dolls.safetensors")
    model, clip, vae, _ = comfy.sd.load_checkpoint_guess_config(path)
    model.model.float()
    return model, clip, vae


@pytest.fixture(scope="module")
def asked(text):
    generator = torch.Generator().manual_seed(5)
    ids = torch.tensor([tokens("a man with red hair, beach")])
    x = torch.randn(1, 4, 16, 24, generator=generator)
    return x, torch.tensor([437]), (text(ids), None)


def core_noise(model, x, t, context, control=None):
    return model.model.diffusion_model(x, t.float(), context, control=control)


def test_the_compact_file_keeps_what_it_is_given(compact, folder):
    again = read_compact(folder / "compact.safetensors")
    assert (again.spent, again.steps) == (compact.spent, compact.steps)
    assert again.done == compact.done
    assert set(again.parts) == set(compact.parts)
    for part, state in compact.parts.items():
        assert set(again.parts[part]) == set(state)
        for key, value in state.items():
            assert torch.equal(again.parts[part][key], value)


def test_it_is_small_enough_to_ship(folder):
    one_lora = (folder / "loras" / "doll_1_woman.safetensors").stat().st_size
    # Six LoRAs, of which two are in this file.
    size = (folder / "compact.safetensors").stat().st_size + 4 * one_lora
    assert size < 25e6


def test_the_checkpoint_is_sd15_and_its_unet_ours(nets, loaded, asked):
    model = loaded[0]
    assert type(model.model.model_config).__name__ == "SD15"
    with torch.no_grad():
        ours, theirs = nets["unet"](*asked), core_noise(model, *asked[:2], asked[2][0])
    assert error(ours, theirs) < SHARE


def test_the_text_encoder_is_ours(loaded, asked):
    tokenized = loaded[1].tokenize("a man with red hair, beach")
    theirs = loaded[1].encode_from_tokens(tokenized)
    assert error(asked[2][0], theirs) < SHARE


def test_the_autoencoder_is_ours(nets, loaded):
    vae = nets["vae"]
    pictures = torch.rand(1, 64, 96, 3, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        latents = vae.encode(pictures.movedim(-1, 1))
        decoded = vae.decode(latents).clamp(0, 1).movedim(1, -1)
    # What core's sampler holds are SD1.5's latents times 0.18215: ours.
    core_latents = loaded[2].encode(pictures)
    assert error(latents, core_latents * export.LATENT_SCALE) < SHARE
    assert error(decoded, loaded[2].decode(latents / export.LATENT_SCALE)) < SHARE


def test_the_control_net_is_ours(nets, folder, loaded, asked):
    x, t, ctx = asked
    path = str(folder / "controlnet" / "paper_dolls_openpose.safetensors")
    control = comfy.controlnet.load_controlnet(path)
    assert control is not None
    net = control.control_model.float()
    hint = torch.rand(1, 3, 128, 192, generator=torch.Generator().manual_seed(4))
    with torch.no_grad():
        added = nets["control"](x, hint, t, ctx)
        theirs = net(x=x, hint=hint, timesteps=t.float(), context=ctx[0])
        flat = [*theirs["output"], *theirs["middle"]]
        assert all(error(a, b) < SHARE for a, b in zip(added, flat, strict=True))
        ours = nets["unet"](x, t, ctx, added)
        given = {"output": list(added[:-1]), "middle": [added[-1]]}
        assert error(ours, core_noise(loaded[0], x, t, ctx[0], given)) < SHARE


@pytest.mark.parametrize("name", ["doll_1_woman", "doll_1_woman_peft"])
def test_a_lora_is_ours(nets, compact, folder, loaded, asked, name):
    lora = comfy.utils.load_torch_file(str(folder / "loras" / f"{name}.safetensors"))
    model, clip, _ = loaded
    patched, _ = comfy.sd.load_lora_for_models(model, clip, lora, 1.0, 1.0)
    assert len(patched.patches) == len(list(lora_layers(nets["unet"])))
    plain = nets["unet"](*asked).detach()
    layers = list(lora_layers(nets["unet"]))
    generator = torch.Generator()
    for layer_name, layer in layers:
        layer.add_lora(8, generator)
        for ab, parameter in (("a", layer.lora_a), ("b", layer.lora_b)):
            parameter.data.copy_(compact.parts["lora.0"][f"{layer_name}.{ab}"])
    try:
        with torch.no_grad():
            ours = nets["unet"](*asked)
    finally:
        for _, layer in layers:
            layer.remove_lora()
    assert error(plain, ours) > 0.3
    patched.patch_model()
    try:
        with torch.no_grad():
            assert error(ours, core_noise(patched, *asked[:2], asked[2][0])) < SHARE
    finally:
        patched.unpatch_model()
