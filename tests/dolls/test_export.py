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
from dolls.networks.unet import lora_layers
from dolls.weights import read_parts, write_part
from dolls.world.words import tokens

pytestmark = pytest.mark.long

SHARE = 0.02  # of the output's spread; a wrong layer costs far more than 0.3


def error(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    ours, theirs = ours.detach().float(), theirs.detach().float()
    return float((ours - theirs).abs().max() / ours.std())


@pytest.fixture(scope="module")
def folder(parts, tmp_path_factory):
    models = tmp_path_factory.mktemp("models")
    (models / "narrow").mkdir()
    for name, part in parts.items():
        write_part(models / "narrow", name, part)
    export.main([str(models), "--weights", str(models / "narrow")])
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
    return x, torch.tensor([437]), text.context(ids[None])


def core_noise(model, x, t, ctx, control=None):
    return model.model.diffusion_model(x, t.float(), ctx.text[:, 0], control=control)


def test_the_files_keep_what_they_are_given(parts, folder):
    again = read_parts(folder / "narrow")
    assert set(again) == set(parts)
    for name, part in parts.items():
        assert again[name].note == part.note
        assert set(again[name].state) == set(part.state)
        for key, value in part.state.items():
            assert torch.equal(again[name].state[key], value)


def test_they_are_small_enough_to_ship(folder):
    sizes = {path.stem: path.stat().st_size for path in (folder / "narrow").glob("*.safetensors")}
    # Six LoRAs of twice this rank, of which two are here.
    assert sum(sizes.values()) + (12 - 2) * sizes["lora_1"] < 25e6


def test_the_checkpoint_is_sd15_and_its_unet_ours(nets, loaded, asked):
    model = loaded[0]
    assert type(model.model.model_config).__name__ == "SD15"
    with torch.no_grad():
        ours, theirs = nets["unet"](*asked), core_noise(model, *asked)
    assert error(ours, theirs) < SHARE


def test_the_text_encoder_is_ours(loaded, asked):
    tokenized = loaded[1].tokenize("a man with red hair, beach")
    theirs = loaded[1].encode_from_tokens(tokenized)
    assert error(asked[2].text[:, 0], theirs) < SHARE


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
        theirs = net(x=x, hint=hint, timesteps=t.float(), context=ctx.text[:, 0])
        flat = [*theirs["output"], *theirs["middle"]]
        for mine, wide in zip(added, flat, strict=True):
            assert error(mine, wide[:, :: 320 // mine.shape[1]]) < SHARE
        ours = nets["unet"](x, t, ctx, added)
        given = {"output": flat[:-1], "middle": flat[-1:]}
        assert error(ours, core_noise(loaded[0], x, t, ctx, given)) < SHARE


@pytest.mark.parametrize("name", ["doll_1_woman", "doll_1_woman_peft"])
def test_a_lora_is_ours(nets, folder, loaded, asked, with_lora, name):
    lora = comfy.utils.load_torch_file(str(folder / "loras" / f"{name}.safetensors"))
    model, clip, _ = loaded
    patched, _ = comfy.sd.load_lora_for_models(model, clip, lora, 1.0, 1.0)
    assert len(patched.patches) == len(list(lora_layers(nets["unet"])))
    with torch.no_grad():
        plain, ours = core_noise(model, *asked), with_lora(*asked)
    assert error(plain, ours) > 0.3
    patched.patch_model()
    try:
        with torch.no_grad():
            assert error(ours, core_noise(patched, *asked)) < SHARE
    finally:
        patched.unpatch_model()
