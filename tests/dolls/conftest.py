"""Networks with random numbers everywhere: what starts at zero would agree with anything."""

import pytest
import torch

from dolls.networks.autoencoder import Autoencoder
from dolls.networks.text import TextEncoder
from dolls.networks.unet import ControlNet, UNet, is_tied, lora_layers
from dolls.weights import Note, Part, Parts

LORAS = (1, 4)
RANK = 3


def filled(net: torch.nn.Module, generator: torch.Generator) -> torch.nn.Module:
    """Every number that training would have moved from 0 (or 1) is moved a little; all as float16
    can hold them."""
    with torch.no_grad():
        for parameter in net.parameters():
            moved = torch.randn(parameter.shape, generator=generator) * 0.05
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
def factors(nets) -> dict[str, torch.Tensor]:
    """A LoRA of every layer that one may touch."""
    generator = torch.Generator().manual_seed(2)
    return {
        f"{name}.{ab}": (torch.randn(shape, generator=generator) * 0.1).half().float()
        for name, layer in lora_layers(nets["unet"])
        for ab, shape in (("a", (RANK, layer.in_features)), ("b", (layer.out_features, RANK)))
    }


@pytest.fixture
def with_lora(nets, factors):
    """The narrow UNet with that LoRA in it, for a while."""
    layers = list(lora_layers(nets["unet"]))
    for name, layer in layers:
        layer.add_lora(RANK, torch.Generator())
        for ab, parameter in zip("ab", layer.lora(), strict=True):
            parameter.data.copy_(factors[f"{name}.{ab}"])
    yield nets["unet"]
    for _, layer in layers:
        layer.remove_lora()


@pytest.fixture(scope="session")
def parts(nets, factors) -> Parts:
    """All of it, and LoRAs of two identities."""
    states = {name: net.state_dict() for name, net in nets.items()}
    states["control"] = {key: v for key, v in states["control"].items() if not is_tied(key)}
    states |= {f"lora_{i}": factors for i in LORAS}
    return {name: Part(state, Note(3, 48, 1.5, name == "vae")) for name, state in states.items()}
