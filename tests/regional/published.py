"""IP-Adapter as it was published (Ye et al. 2023): the authors' projection modules with random weights, and
the formula in every cross-attention of core's model."""

import dataclasses
import math

import tiny
import torch
from torch import nn

WIDTH, DEPTH, INNER = 48, 2, 128  # of CLIP's hidden states; of the resampler
VISION = {
    "hidden_size": WIDTH, "num_hidden_layers": 3, "num_attention_heads": 4, "image_size": 28,
    "intermediate_size": 64, "patch_size": 14, "num_channels": 3, "hidden_act": "gelu",
    "projection_dim": 40, "model_type": "clip_vision_model",
}  # fmt: skip


def drawn(module: nn.Module, seed: int) -> nn.Module:
    generator = torch.Generator().manual_seed(seed)
    for parameter in module.parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        parameter.copy_(
            noise / math.sqrt(parameter[0].numel()) if parameter.ndim > 1 else 1 + noise / 9
        )
    return module


class Projection(nn.Module):
    """The authors' ImageProjModel."""

    def __init__(self, tokens: int = 4):
        super().__init__()
        self.proj = nn.Linear(VISION["projection_dim"], tokens * tiny.CONTEXT)
        self.norm = nn.LayerNorm(tiny.CONTEXT)

    def forward(self, embeds):
        return self.norm(self.proj(embeds).reshape(len(embeds), -1, tiny.CONTEXT))


class Perceiver(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(INNER), nn.LayerNorm(INNER)
        self.to_q = nn.Linear(INNER, INNER, bias=False)
        self.to_kv = nn.Linear(INNER, 2 * INNER, bias=False)
        self.to_out = nn.Linear(INNER, INNER, bias=False)

    def forward(self, x, latents):
        x, latents = self.norm1(x), self.norm2(latents)
        q, (k, v) = self.to_q(latents), self.to_kv(torch.cat((x, latents), 1)).chunk(2, -1)
        out = torch.zeros_like(q)
        for head in (slice(at, at + 64) for at in range(0, INNER, 64)):
            score = (q[..., head] @ k[..., head].transpose(1, 2) / 8).softmax(-1)
            out[..., head] = score @ v[..., head]
        return self.to_out(out)


class Resampler(nn.Module):
    """The authors' Resampler."""

    def __init__(self, tokens: int = 6):
        super().__init__()
        self.latents = nn.Parameter(torch.randn(1, tokens, INNER))
        self.proj_in, self.proj_out = nn.Linear(WIDTH, INNER), nn.Linear(INNER, tiny.CONTEXT)
        self.norm_out = nn.LayerNorm(tiny.CONTEXT)
        self.layers = nn.ModuleList(
            nn.ModuleList([Perceiver(), nn.Sequential(
                nn.LayerNorm(INNER), nn.Linear(INNER, 4 * INNER, bias=False), nn.GELU(),
                nn.Linear(4 * INNER, INNER, bias=False),
            )]) for _ in range(DEPTH)
        )  # fmt: skip

    def forward(self, x):
        latents, x = self.latents.repeat(len(x), 1, 1), self.proj_in(x)
        for attention, feed in self.layers:
            latents = attention(x, latents) + latents
            latents = feed(latents) + latents
        return self.norm_out(self.proj_out(latents))


def blocks_of(model) -> list[tuple[str, int, int]]:
    """(part, number, index) of each cross-attention, in the order in which files count them: down, up,
    middle."""
    unet = model.model.diffusion_model
    found = []
    for part, name in (
        ("input", "input_blocks"),
        ("output", "output_blocks"),
        ("middle", "middle_block"),
    ):
        for path, module in getattr(unet, name).named_modules():
            if path.endswith("attn2"):
                number = 0 if part == "middle" else int(path.split(".")[0])
                found.append(((part, number, int(path.split(".")[-2])), module))
    return found


@dataclasses.dataclass
class Random:
    """An adapter: its modules, and the file of them."""

    projection: nn.Module
    layers: list[tuple[nn.Linear, nn.Linear]]

    def halves(self):
        layers = {}
        for number, (key, value) in enumerate(self.layers):
            layers[f"{2 * number + 1}.to_k_ip.weight"] = key.weight.detach()
            layers[f"{2 * number + 1}.to_v_ip.weight"] = value.weight.detach()
        return dict(self.projection.state_dict()), layers


def adapter_of(model, layout: str, seed: int = 50) -> Random:
    layers = []
    for number, (_, module) in enumerate(blocks_of(model)):
        wide, narrow = module.to_k.weight.shape
        pair = [nn.Linear(narrow, wide, bias=False) for _ in range(2)]
        layers.append(tuple(drawn(one, seed + 2 * number + i) for i, one in enumerate(pair)))
    return Random(drawn(Projection() if layout == "base" else Resampler(), seed - 1), layers)


def photo(seed: int) -> torch.Tensor:
    return torch.rand(1, 40, 32, 3, generator=torch.Generator().manual_seed(seed))


def sees(vision, layout: str, image) -> torch.Tensor:
    if layout == "base":
        shown = vision.encode_image(image)["image_embeds"].float()
        return torch.cat([shown, torch.zeros_like(shown)])
    shown = vision.encode_image(image)["penultimate_hidden_states"].float()
    pixels = torch.zeros(1, 3, VISION["image_size"], VISION["image_size"])
    nothing = vision.model(pixel_values=pixels, intermediate_output=-2)[1].float()
    return torch.cat([shown, nothing])


def plain(model, adapter: Random, seen, person, strength, **sampling):
    """Core's model with the formula in every cross-attention: softmax(QK')V' beside the text's."""
    tokens = adapter.projection(seen)
    clone = model.clone()

    def formula(key, value):
        def replaced(q, k, v, options):
            mine = [tokens[[int(side != 0)]] for side in options["cond_or_uncond"]]
            each = len(q) // len(mine)
            image = torch.cat([one.repeat(each, 1, 1) for one in mine])
            return softmax(q, k, v) + strength * softmax(q, key(image), value(image))

        def softmax(q, k, v):
            def heads(t):
                return t.unflatten(2, (heads_of, -1)).transpose(1, 2)

            heads_of = replaced.heads
            q, k, v = heads(q), heads(k), heads(v)
            score = (q @ k.transpose(2, 3) / math.sqrt(q.shape[-1])).softmax(-1)
            return (score @ v).transpose(1, 2).flatten(2)

        return replaced

    for (block, module), (key, value) in zip(blocks_of(model), adapter.layers, strict=True):
        replaced = formula(key, value)
        replaced.heads = module.heads
        clone.set_model_attn2_replace(replaced, *block)
    return tiny.sample(
        clone, person.positive.conditioning, person.negative.conditioning, **sampling
    )
