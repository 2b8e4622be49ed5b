"""The narrow nets in core's classes against the files that ComfyUI loads: the same numbers."""

import comfy.controlnet
import comfy.sd
import pytest
import torch

from dolls import export, in_core
from dolls.weights import SHIPPED, read_parts

# The files hold halves of what the narrow nets hold: a weight that several copies share is rounded anew.
CLOSE = 2e-3
SIZE = (24, 36)


@pytest.fixture(scope="module", autouse=True)
def no_grad():
    with torch.inference_mode():
        yield


@pytest.fixture(scope="module")
def narrow():
    return in_core.load()


@pytest.fixture(scope="module")
def parts():
    return read_parts(SHIPPED)


@pytest.fixture(scope="module")
def wide(parts):
    return comfy.sd.load_state_dict_guess_config(export.checkpoint(parts))


@pytest.fixture(scope="module")
def asked():
    """Latents, steps and texts of two pictures."""
    generator = torch.Generator().manual_seed(5)
    x = torch.randn(2, 4, *SIZE, generator=generator)
    return x, torch.tensor([17.0, 803.0]), torch.randn(2, 77, 768, generator=generator)


def difference(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    return float((ours - theirs).abs().max() / theirs.abs().max())


def noise(model, asked):
    x, t, text = asked
    return model.model.diffusion_model.float()(x, t, context=text)


def test_the_unet(narrow, wide, asked):
    assert difference(noise(narrow.model, asked), noise(wide[0], asked)) < CLOSE


def test_it_takes_far_less_weights(narrow, wide):
    count = [
        sum(p.numel() for p in m.model.diffusion_model.parameters())
        for m in (narrow.model, wide[0])
    ]
    assert count[0] * 5 < count[1]


def test_every_lora(narrow, wide, parts, asked):
    files = export.files(parts)
    for n, state in enumerate(narrow.loras, 1):
        file = next(s for name, s in files.items() if name.startswith(f"loras/doll_{n}_"))
        ours, theirs = (
            comfy.sd.load_lora_for_models(model, None, lora, 1.0, 0.0)[0]
            for model, lora in ((narrow.model, state), (wide[0], file))
        )
        made = []
        for patched in (ours, theirs):
            patched.patch_model()
            made.append(noise(patched, asked))
            patched.unpatch_model()
        assert difference(*made) < CLOSE
        assert difference(made[0], noise(narrow.model, asked)) > 10 * CLOSE


def test_the_control_net(narrow, parts, asked):
    wide = comfy.controlnet.load_controlnet_state_dict(export.controlnet(parts)).control_model
    x, t, text = asked
    hint = torch.rand(2, 3, *(8 * n for n in SIZE), generator=torch.Generator().manual_seed(4))
    ours, theirs = (net.float()(x, hint, t, text) for net in (narrow.control.control_model, wide))
    for kind in ("output", "middle"):
        for mine, other in zip(ours[kind], theirs[kind], strict=True):
            # A skip of the wide net holds every real channel several times.
            assert difference(mine, other[:, :: 320 // mine.shape[1]]) < CLOSE


def test_the_autoencoder_both_ways(narrow, wide):
    latent = torch.randn(1, 4, *SIZE, generator=torch.Generator().manual_seed(3))
    picture = wide[2].decode(latent)
    assert float(picture.std()) > 0.05
    assert difference(narrow.vae.decode(latent), picture) < CLOSE
    assert difference(narrow.vae.encode(picture), wide[2].encode(picture)) < CLOSE
