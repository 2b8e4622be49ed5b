import pytest
import torch
from ensemble_portraits.ensemble.segment.overlay import STRENGTH, TINT, overlay


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_only_what_is_white_is_tinted(channels):
    image = torch.rand(2, 8, 6, channels)
    mask = torch.zeros(2, 8, 6)
    mask[1, 2:5] = 1
    shown = overlay(image, mask)
    colour = image[..., :3].expand(-1, -1, -1, 3)
    assert shown.shape == (2, 8, 6, 3)
    assert torch.equal(shown[mask == 0], colour[mask == 0])
    expected = colour[mask == 1] * (1 - STRENGTH) + torch.tensor(TINT) * STRENGTH
    assert torch.allclose(shown[mask == 1], expected)
