"""Networks with random numbers everywhere: what starts at zero would agree with anything."""

import pytest
import torch

from dolls.compact import Compact
from dolls.networks.autoencoder import Autoencoder
from dolls.networks.text import TextEncoder
from dolls.networks.unet import ControlNet, UNet, is_tied, lora_layers
from dolls.world import IDENTITIES

LORAS = (0, 3)


def filled(net: torch.nn.Module, generator: torch.Generator) -> torch.nn.Module:
    """Every number that training would have moved from 0 (or 1) is moved a little; all as float16
    can hold them."""
    with torch.no_grad():
        for parameter in net.parameters():
            moved = torch.randn(parameter.shape, generator=generator) * 0.02
            parameter.copy_((parameter + moved).half().float())
    return net.eval()


@pytest.fixture(scope="session")
def text() -> TextEncoder:
    return TextEncoder()


@pytest.fixture(scope="session")
def nets() -> dict[str, torch.nn.Module]:
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(1)
    made = {
        "vae": filled(Autoencoder(), generator),
        "unet": filled(UNet(), generator),
        "control": filled(ControlNet(), generator),
    }
    made["control"].tie(made["unet"].state_dict())
    return made


@pytest.fixture(scope="session")
def compact(nets) -> Compact:
    """All of it, and LoRAs of two identities."""
    generator = torch.Generator().manual_seed(2)
    parts = {name: net.state_dict() for name, net in nets.items()}
    parts["control"] = {key: v for key, v in parts["control"].items() if not is_tied(key)}
    for i in LORAS:
        parts[f"lora.{i}"] = {
            f"{name}.{ab}": (torch.randn(shape, generator=generator) * 0.1).half().float()
            for name, layer in lora_layers(nets["unet"])
            for ab, shape in (
                ("a", (8, *layer.a.shape[1:])),
                ("b", (layer.b.shape[0], 8, *layer.b.shape[2:])),
            )
        }
    assert max(LORAS) < len(IDENTITIES)
    return Compact(parts, {"vae": 1.5}, {"vae": 3}, ("vae",))
