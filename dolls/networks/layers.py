"""The parts of a narrow UNet of SD1.5's layout. Modules have core's names, and every layer knows how
its channels lie in the file (see layout.py)."""

from dataclasses import dataclass, field, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .layout import Layout, padded, repeated, whole

WIDTH, CONTEXT, HEADS, HEAD = 320, 768, 8, 40
"""Of the file: channels, the text's numbers per token, heads and their size: what makes ComfyUI take
it for SD1.5."""
EMBEDDING = padded(WIDTH, 4 * WIDTH)
"""What the nets know of time."""


@dataclass(frozen=True)
class Context:
    """What a net is told: texts of R regions."""

    text: Tensor
    """`[B,R,T,768]`"""
    tail: Tensor
    """`[77-T,768]`, the rest that every text ends with."""
    regions: Tensor | None = None
    """`[B,R,h,w]`, weights that sum to 1 over R; None where R is 1."""
    told: dict[nn.Module, Tensor] = field(default_factory=dict)
    """`[B*R,77,size]`, what each layer that reads texts makes of them; see `tell`."""


class Linear(nn.Linear):
    """A linear layer between two layouts, with room for a LoRA."""

    def __init__(self, ins: Layout, outs: Layout, bias: bool = True):
        super().__init__(ins.real, outs.real, bias)
        self.ins, self.outs = ins, outs
        self.lora_a: nn.Parameter | None = None
        self.lora_b: nn.Parameter | None = None

    def add_lora(self, rank: int, generator: torch.Generator) -> None:
        """A LoRA that adds nothing yet; numbers from `generator`, which lives on the CPU."""
        down = torch.randn(rank, self.in_features, generator=generator) / self.in_features**0.5
        self.lora_a = nn.Parameter(down.to(self.weight.device))
        self.lora_b = nn.Parameter(self.weight.new_zeros(self.out_features, rank))

    def lora(self) -> tuple[Tensor, Tensor]:
        """Both factors of the LoRA that was added, `[rank,in]` and `[out,rank]`."""
        assert self.lora_a is not None and self.lora_b is not None
        return self.lora_a, self.lora_b

    def remove_lora(self) -> None:
        self.lora_a = self.lora_b = None

    def forward(self, input: Tensor) -> Tensor:
        return self.with_lora(super().forward(input), input)

    def with_lora(self, y: Tensor, input: Tensor) -> Tensor:
        """What the layer makes of its input, from what it makes without a LoRA."""
        if self.lora_a is None or self.lora_b is None:
            return y
        return y + F.linear(F.linear(input, self.lora_a), self.lora_b)


class Conv(nn.Conv2d):
    """A convolution between two layouts; zero: it begins as nothing."""

    def __init__(
        self, ins: Layout, outs: Layout, side: int = 3, stride: int = 1, zero: bool = False
    ):
        super().__init__(ins.real, outs.real, side, stride, side // 2)
        self.ins, self.outs = ins, outs
        if zero:
            nn.init.zeros_(self.weight)
            nn.init.zeros_(self.bias)  # type: ignore[arg-type]


class Norm(nn.GroupNorm):
    """32 groups, in the type that comes in: autocast would widen the largest tensors of the net.
    On a processor torch's kernel takes an eighth of the time on planes that it takes on channels
    last, copies and all."""

    def __init__(self, outs: Layout, eps: float = 1e-5):
        super().__init__(32, outs.real, eps)
        self.outs = outs

    def forward(self, input: Tensor) -> Tensor:
        weight, bias = self.weight.to(input.dtype), self.bias.to(input.dtype)
        with torch.autocast(input.device.type, enabled=False):
            y = F.group_norm(input.contiguous(), self.num_groups, weight, bias, self.eps)
        return y.contiguous(memory_format=torch.channels_last)


class TokenNorm(nn.LayerNorm):
    """Over the channels of a token, in the type that comes in."""

    def __init__(self, outs: Layout):
        super().__init__(outs.real)
        self.outs = outs

    def forward(self, input: Tensor) -> Tensor:
        weight, bias = self.weight.to(input.dtype), self.bias.to(input.dtype)
        with torch.autocast(input.device.type, enabled=False):
            return F.layer_norm(input, self.normalized_shape, weight, bias, self.eps)


class ResBlock(nn.Module):
    """of: the channels that come in, `outs` once or, behind a skip, twice."""

    def __init__(self, of: Layout, outs: Layout):
        super().__init__()
        self.in_layers = nn.Sequential(Norm(of), nn.SiLU(), Conv(of, outs))
        self.emb_layers = nn.Sequential(nn.SiLU(), Linear(EMBEDDING, outs))
        second = Conv(outs, outs, zero=True)
        self.out_layers = nn.Sequential(Norm(outs), nn.SiLU(), nn.Identity(), second)
        self.skip_connection: nn.Module = nn.Identity()
        if of != outs:
            self.skip_connection = Conv(of, outs, side=1)

    def forward(self, x: Tensor, emb: Tensor, ctx: Context) -> Tensor:
        h = self.in_layers(x) + self.emb_layers(emb)[:, :, None, None]
        return self.skip_connection(x) + self.out_layers(h)


class Attention(nn.Module):
    """Over itself, or over texts that are blended by the regions' weights. Fewer heads than the
    file has, and smaller ones: what is left is zeros there."""

    def __init__(self, layout: Layout, context: Layout | None = None):
        super().__init__()
        self.size = HEAD if layout.real % HEAD == 0 else 32
        self.heads = layout.real // self.size
        head = padded(self.size, HEAD)
        heads = head
        for _ in range(self.heads - 1):
            heads = heads + head
        heads = Layout((*heads.source, *[-1] * (WIDTH - len(heads.source))))
        self.to_q = Linear(layout, heads, bias=False)
        self.to_k = Linear(context or layout, heads, bias=False)
        self.to_v = Linear(context or layout, heads, bias=False)
        self.to_out = nn.Sequential(Linear(heads, layout))

    def forward(self, x: Tensor, ctx: Context | None = None) -> Tensor:
        """x `[B,N,C]`; the weights of ctx's regions `[B,R,N]`."""
        q = self._split(self.to_q(x))
        if ctx is None:
            return self._put_out(_attend(q, self._split(self.to_k(x)), self._split(self.to_v(x))))
        b, r = ctx.text.shape[:2]
        k, v = (self._split(ctx.told[layer]) for layer in (self.to_k, self.to_v))
        if ctx.regions is None:
            return self._put_out(_attend(q, k, v))
        y = _attend(q[:, None].expand(-1, r, -1, -1, -1).flatten(0, 1), k, v).unflatten(0, (b, r))
        return self._put_out((y * ctx.regions[:, :, None, :, None].to(y.dtype)).sum(1))

    def _split(self, x: Tensor) -> Tensor:
        """`[B,N,C]` -> `[B,heads,N,size]`."""
        return x.unflatten(-1, (self.heads, self.size)).transpose(1, 2)

    def _put_out(self, y: Tensor) -> Tensor:
        return self.to_out(y.transpose(1, 2).flatten(2))


def _attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Written out: for so few tokens torch's fused kernel takes four times as long on a processor,
    forward and backward. Core scales by HEAD, the size of the file's heads."""
    return (HEAD**-0.5 * q @ k.transpose(-1, -2)).softmax(-1) @ v


def tell(net: nn.Module, ctx: Context) -> Context:
    """With what all layers of `net` that read texts make of them: one wide product takes a fraction
    of the time of many narrow ones, and the tail is read once."""
    blocks = [block for block in net.modules() if isinstance(block, TransformerBlock)]
    layers = [layer for block in blocks for layer in (block.attn2.to_k, block.attn2.to_v)]
    (b, r, length), rest = ctx.text.shape[:3], len(ctx.tail)
    read = torch.cat([ctx.text.flatten(0, 2), ctx.tail])
    made = F.linear(read, torch.cat([layer.weight for layer in layers]))
    told: dict[nn.Module, Tensor] = {}
    for layer, y in zip(layers, made.split([x.out_features for x in layers], -1), strict=True):
        text, tail = layer.with_lora(y, read).split([b * r * length, rest])
        told[layer] = torch.cat([text.unflatten(0, (b * r, length)), tail.expand(b * r, -1, -1)], 1)
    return replace(ctx, told=told)


class GEGLU(nn.Module):
    def __init__(self, layout: Layout) -> None:
        super().__init__()
        half = padded(4 * layout.real, 4 * WIDTH)
        self.proj = Linear(layout, half + half)

    def forward(self, x: Tensor) -> Tensor:
        x, gate = self.proj(x).chunk(2, -1)
        return x * F.gelu(gate)


class FeedForward(nn.Module):
    def __init__(self, layout: Layout) -> None:
        super().__init__()
        last = Linear(padded(4 * layout.real, 4 * WIDTH), layout)
        self.net = nn.Sequential(GEGLU(layout), nn.Identity(), last)

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


class TransformerBlock(nn.Module):
    def __init__(self, layout: Layout) -> None:
        super().__init__()
        self.attn1, self.attn2 = Attention(layout), Attention(layout, whole(CONTEXT))
        self.ff = FeedForward(layout)
        self.norm1, self.norm2, self.norm3 = (TokenNorm(layout) for _ in range(3))

    def forward(self, x: Tensor, ctx: Context) -> Tensor:
        x = x + self.attn1(self.norm1(x))
        x = x + self.attn2(self.norm2(x), ctx)
        return x + self.ff(self.norm3(x))


class SpatialTransformer(nn.Module):
    def __init__(self, layout: Layout) -> None:
        super().__init__()
        self.norm = Norm(layout, eps=1e-6)
        self.proj_in = Conv(layout, layout, side=1)
        self.transformer_blocks = nn.ModuleList([TransformerBlock(layout)])
        self.proj_out = Conv(layout, layout, side=1, zero=True)

    def forward(self, x: Tensor, emb: Tensor, ctx: Context) -> Tensor:
        h, w = x.shape[2:]
        y = self.proj_in(self.norm(x)).permute(0, 2, 3, 1).flatten(1, 2)
        if ctx.regions is not None:
            regions = F.interpolate(ctx.regions, (h, w), mode="area").flatten(2)
            ctx = replace(ctx, regions=regions)
        for block in self.transformer_blocks:
            y = block(y, ctx)
        return x + self.proj_out(y.unflatten(1, (h, w)).permute(0, 3, 1, 2))


class Down(nn.Module):
    """Halves the sides; the width of the next level begins here."""

    def __init__(self, ins: Layout, outs: Layout) -> None:
        super().__init__()
        self.ins = ins
        self.op = Conv(ins, outs, stride=2)

    def forward(self, x: Tensor, emb: Tensor, ctx: Context) -> Tensor:
        return self.op(x)


class Up(nn.Module):
    """Doubles the sides."""

    def __init__(self, ins: Layout, outs: Layout) -> None:
        super().__init__()
        self.ins = ins
        self.conv = Conv(ins, outs)

    def forward(self, x: Tensor, emb: Tensor, ctx: Context) -> Tensor:
        return self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))


class First(Conv):
    """From latents to the first level."""

    def forward(self, x: Tensor, emb: Tensor, ctx: Context) -> Tensor:  # type: ignore[override]
        return super().forward(x)


class Stage(nn.Sequential):
    """Layers one after the other that all see the time and the text."""

    def forward(self, x: Tensor, emb: Tensor, ctx: Context) -> Tensor:  # type: ignore[override]
        for layer in self:
            x = layer(x, emb, ctx)
        return x


def level(width: int) -> Layout:
    """A level of the UNet that is `width` wide."""
    return repeated(width, WIDTH)
