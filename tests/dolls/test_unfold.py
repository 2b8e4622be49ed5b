"""The narrow nets, unfolded, in core's own: the same numbers, in float32, with random weights."""

import comfy.cldm.cldm
import comfy.lora
import comfy.lora_convert
import comfy.model_base
import comfy.model_detection
import comfy.ops
import comfy.taesd.taesd
import pytest
import torch
from comfy.ldm.modules.diffusionmodules.openaimodel import UNetModel

from dolls import export, unfold
from dolls.networks.layers import Context
from dolls.networks.layout import padded, repeated
from dolls.networks.unet import lora_layers

CLOSE = 1e-5  # of the largest number
UNET = "model.diffusion_model."


def difference(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    return float((ours - theirs).abs().max() / theirs.abs().max())


@pytest.fixture(scope="module")
def asked():
    """Latents, steps and two texts."""
    generator = torch.Generator().manual_seed(5)
    x = torch.randn(2, 4, 12, 20, generator=generator)
    said = torch.randn(2, 1, 77, 768, generator=generator)
    return x, torch.tensor([17, 803]), Context(said, torch.zeros(0, 768))


@pytest.fixture(scope="module")
def config(nets):
    """What core reads off the unfolded UNet."""
    state = {UNET + key: value for key, value in unfold.net(nets["unet"]).items()}
    found = comfy.model_detection.model_config_from_unet(state, UNET)
    assert type(found).__name__ == "SD15"
    return found


@pytest.fixture(scope="module")
def core(nets, config):
    unet = UNetModel(**config.unet_config, operations=comfy.ops.disable_weight_init)
    unet.load_state_dict(unfold.net(nets["unet"]), strict=True)
    return unet.eval()


def core_noise(net, asked, control=None):
    x, t, ctx = asked
    return net(x, t.float(), context=ctx.text[:, 0], control=control)


@torch.no_grad()
def test_the_unet_is_cores(nets, core, asked):
    ours = nets["unet"](*asked)
    assert float(ours.std()) > 0.1
    assert difference(ours, core_noise(core, asked)) < CLOSE


@torch.no_grad()
def test_regions_are_texts_blended_in_every_layer(nets, asked):
    """All of one region's weight is that region's text alone."""
    x, t, ctx = asked
    both = torch.stack([ctx.text[:, 0], ctx.text[:, 0].flip(0)], 1)
    regions = torch.zeros(2, 2, *x.shape[2:])
    regions[:, 1] = 1
    tail = both[0, 0, 70:]
    both[:, :, 70:] = tail
    ours = nets["unet"](x, t, Context(both[:, :, :70], tail, regions))
    alone = nets["unet"](x, t, Context(both[:, 1:], torch.zeros(0, 768)))
    assert difference(ours, alone) < CLOSE


@torch.no_grad()
def test_the_control_net_is_cores(nets, config, core, asked):
    settings = {k: v for k, v in config.unet_config.items() if k not in _NOT_CONTROLS}
    theirs = comfy.cldm.cldm.ControlNet(
        **settings, hint_channels=3, operations=comfy.ops.disable_weight_init
    )
    theirs.load_state_dict(unfold.net(nets["control"]), strict=True)
    x, t, ctx = asked
    hint = torch.rand(2, 3, 96, 160, generator=torch.Generator().manual_seed(4))
    given = theirs.eval()(x, hint, t.float(), ctx.text[:, 0])
    ours = nets["control"](x, hint, t, ctx)
    flat = [*given["output"], *given["middle"]]
    # A skip holds every real channel several times.
    for mine, wide in zip(ours, flat, strict=True):
        assert difference(mine, wide[:, :: 320 // mine.shape[1]]) < CLOSE
    noise = nets["unet"](x, t, ctx, ours)
    assert difference(noise, nets["unet"](x, t, ctx)) > 0.01
    given = {"output": given["output"], "middle": given["middle"]}
    assert difference(noise, core_noise(core, asked, given)) < CLOSE


_NOT_CONTROLS = ("out_channels", "transformer_depth_output", "use_temporal_attention")


@torch.no_grad()
def test_the_autoencoder_is_cores(nets):
    theirs = comfy.taesd.taesd.TAESD()
    state = unfold.autoencoder(nets["vae"].state_dict())
    for name in ("encoder", "decoder"):
        prefix = f"taesd_{name}."
        own = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
        getattr(theirs, f"taesd_{name}").load_state_dict(own, strict=True)
    pictures = torch.rand(1, 3, 48, 64, generator=torch.Generator().manual_seed(3))
    latents = nets["vae"].encode(pictures)
    decoded = nets["vae"].decode(latents)
    assert difference(latents, theirs.encode(2 * pictures - 1)) < CLOSE
    assert difference(2 * decoded - 1, theirs.decode(latents)) < CLOSE


@pytest.mark.parametrize("names", [export.lora_kohya, export.lora_peft])
@torch.no_grad()
def test_a_lora_is_cores(nets, core, config, factors, with_lora, asked, names):
    """Read by core under the names of either kind, every key, and added to core's weights."""
    file = names(unfold.lora(list(lora_layers(nets["unet"])), factors))
    model = held(core, config)
    keys = comfy.lora.model_lora_keys_unet(model, {})
    patches = comfy.lora.load_lora(comfy.lora_convert.convert_lora(file), keys)
    assert len(patches) == len(list(lora_layers(nets["unet"])))
    kept = {key: value.clone() for key, value in core.state_dict().items()}
    try:
        for key, adapter in patches.items():
            name = key.removeprefix("diffusion_model.")
            weight = core.state_dict()[name]
            weight.copy_(
                comfy.lora.calculate_weight([(1.0, adapter, 1.0, None, None)], weight.clone(), key)
            )
        changed = core_noise(core, asked)
    finally:
        core.load_state_dict(kept)
    assert difference(changed, core_noise(core, asked)) > 0.1
    assert difference(with_lora(*asked), changed) < CLOSE


def held(unet, config):
    """Core's model round a UNet, as far as the keys of LoRAs ask for it."""

    class Held(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.diffusion_model, self.model_config = unet, config

    return Held()


def test_a_layout_repeats_and_shares():
    layout = repeated(2, 6) + padded(1, 2)
    assert layout.real == 3 and layout.source == (0, 0, 0, 1, 1, 1, 2, -1)
    values = torch.tensor([3.0, 6.0, 9.0])
    assert layout.spread(values, 0).tolist() == [3, 3, 3, 6, 6, 6, 9, 0]
    shared = layout.spread(values, 0, share=True)
    assert torch.allclose(shared, torch.tensor([1.0, 1, 1, 2, 2, 2, 9, 0]))
