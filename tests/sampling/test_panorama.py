"""A net that wraps around commutes with rolling its input: that is the whole claim, and exact."""

import pytest
import torch
from ensemble_portraits.ensemble.sampling.panorama import (
    circular_in_x,
    panorama_model,
    panorama_vae,
)

# float32 sums in another order; the nets' outputs are of the order of 1.
CLOSE = {"rtol": 1e-3, "atol": 1e-4}


def unet(model, noise: torch.Tensor) -> torch.Tensor:
    """Two sampler steps from `noise`, through core's whole sampling stack."""
    import comfy.sample
    import comfy.samplers

    context = torch.randn(1, 77, 768, generator=torch.Generator().manual_seed(1))
    return comfy.sample.sample_custom(
        model,
        noise,
        1.0,
        comfy.samplers.sampler_object("euler"),
        torch.tensor([4.0, 2.0, 0.0]),
        [[context, {}]],
        [[context, {}]],
        torch.zeros_like(noise),
        disable_pbar=True,
    )


def wrapped_in_place(net: torch.nn.Module) -> list[str]:
    return [name for name, module in net.named_modules() if "_conv_forward" in vars(module)]


@pytest.mark.parametrize("shape", [(1, 4, 8, 32), (2, 4, 10, 48)])
def test_unet_commutes_with_rolling_and_is_left_as_it_was(checkpoint, shape):
    model = checkpoint[0]
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    before = unet(model, x)
    ring = panorama_model(model)
    # 8 columns are whole columns at every level of the net.
    for shift in (8, 16):
        rolled = unet(ring, x.roll(shift, dims=-1))
        torch.testing.assert_close(rolled, unet(ring, x).roll(shift, dims=-1), **CLOSE)
    assert not torch.allclose(unet(ring, x), before, **CLOSE)
    assert wrapped_in_place(model.model.diffusion_model) == []
    assert torch.equal(unet(model, x), before)


def test_vae_decodes_rolled_latents_to_the_rolled_picture(checkpoint):
    vae = checkpoint[2]
    latent = torch.randn((1, 4, 8, 24), generator=torch.Generator().manual_seed(0))
    before = vae.decode(latent)
    ring = panorama_vae(vae)
    picture = ring.decode(latent)
    rolled = ring.decode(latent.roll(5, dims=-1))
    torch.testing.assert_close(rolled, picture.roll(40, dims=-2), **CLOSE)
    assert wrapped_in_place(vae.first_stage_model) == []
    assert torch.equal(vae.decode(latent), before)


def test_vae_encodes_the_rolled_picture_to_rolled_latents(checkpoint):
    ring = panorama_vae(checkpoint[2])
    picture = torch.rand((1, 64, 192, 3), generator=torch.Generator().manual_seed(0))
    latent = ring.encode(picture)
    rolled = ring.encode(picture.roll(40, dims=-2))
    torch.testing.assert_close(rolled, latent.roll(5, dims=-1), **CLOSE)


def seam(picture: torch.Tensor) -> tuple[float, float]:
    """Mean absolute step across the wrap, and the largest such step between columns inside."""
    across = (picture[..., 0, :] - picture[..., -1, :]).abs().mean()
    inside = (picture[..., 1:, :] - picture[..., :-1, :]).abs().mean((0, 1, 3)).max()
    return float(across), float(inside)


@pytest.fixture
def ring_of_latents() -> torch.Tensor:
    """`[1,4,16,64]`, smooth around the ring."""
    angle = torch.arange(64) / 64 * 2 * torch.pi
    latent = torch.stack([angle.sin(), angle.cos(), (2 * angle).sin(), (2 * angle).cos()])
    return latent[None, :, None].repeat(1, 1, 16, 1)


def test_no_seam_in_the_decoded_picture(checkpoint, ring_of_latents):
    vae = checkpoint[2]
    with torch.inference_mode():
        across, inside = seam(panorama_vae(vae).decode(ring_of_latents))
    assert across <= inside


def test_no_seam_in_the_picture_decoded_in_tiles(checkpoint, ring_of_latents):
    """At the wrap the tiles agree with the whole ring; a plain decode in tiles does not."""
    vae = checkpoint[2]
    ring = panorama_vae(vae)
    tiles = {"tile_x": 48, "tile_y": 48}
    with torch.inference_mode():
        whole = ring.decode(ring_of_latents)
        ours = ring.decode_tiled(ring_of_latents, **tiles)
        plain = vae.decode_tiled(ring_of_latents, **tiles)
        across, inside = seam(ours)
    assert ours.shape == whole.shape == (1, 128, 512, 3)
    assert across <= inside
    edges = [*range(4), *range(-4, 0)]
    off, plain_off = (
        float((picture - whole)[..., edges, :].abs().mean()) for picture in (ours, plain)
    )
    assert off < plain_off / 2


def test_a_failure_inside_leaves_no_layer_wrapped(checkpoint):
    net = checkpoint[2].first_stage_model
    with pytest.raises(RuntimeError), circular_in_x(net):
        assert wrapped_in_place(net)
        raise RuntimeError
    assert wrapped_in_place(net) == []
