"""The parts of a UNet of SD1.5's layout."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .factors import Low, LowConv

WIDTH, CONTEXT, HEADS = 320, 768, 8
"""Channels, the text's numbers per token, heads: what makes ComfyUI take a file for SD1.5."""
CONV_RANK, ATTENTION_RANK, FEED_RANK, EMBEDDING_RANK = 64, 48, 48, 32

Context = tuple[Tensor, Tensor | None]
"""Text `[B,77,768]` and None; or texts of R regions `[B,R,77,768]` and the regions' weights
`[B,R,h,w]`, which sum to 1 over R."""


class Norm(nn.GroupNorm):
    """Group normalisation that stays in the type it is given. Autocast would widen the largest
    tensors of the net to float32, and the net spends its time on moving them; sums inside the
    kernel are float32 in any case."""

    def __init__(self, channels: int, eps: float = 1e-5):
        super().__init__(32, channels, eps)

    def forward(self, input: Tensor) -> Tensor:
        weight, bias = self.weight.to(input.dtype), self.bias.to(input.dtype)
        with torch.autocast(input.device.type, enabled=False):
            return F.group_norm(input, self.num_groups, weight, bias, self.eps)


class ResBlock(nn.Module):
    def __init__(self, n_in: int, n_out: int):
        super().__init__()
        first = LowConv(n_in, n_out, CONV_RANK)
        second = LowConv(n_out, n_out, CONV_RANK, zero=True)
        self.in_layers = nn.Sequential(Norm(n_in), nn.SiLU(), first)
        self.emb_layers = nn.Sequential(nn.SiLU(), Low(4 * WIDTH, n_out, EMBEDDING_RANK))
        self.out_layers = nn.Sequential(Norm(n_out), nn.SiLU(), nn.Identity(), second)
        self.skip_connection: nn.Module = nn.Identity()
        if n_in != n_out:
            self.skip_connection = Low(n_in, n_out, 2 * CONV_RANK, conv=True)

    def forward(self, x: Tensor, emb: Tensor, ctx: Context) -> Tensor:
        h = self.in_layers(x) + self.emb_layers(emb)[:, :, None, None]
        return self.skip_connection(x) + self.out_layers(h)


class Attention(nn.Module):
    """Over itself, or over a text; with regions over every region's text, blended by weight."""

    def __init__(self, context: int = WIDTH):
        super().__init__()
        self.to_q = Low(WIDTH, WIDTH, ATTENTION_RANK, bias=False)
        self.to_k = Low(context, WIDTH, ATTENTION_RANK, bias=False)
        self.to_v = Low(context, WIDTH, ATTENTION_RANK, bias=False)
        self.to_out = nn.Sequential(Low(WIDTH, WIDTH, ATTENTION_RANK))

    def forward(
        self, x: Tensor, ctx: Tensor | None = None, regions: Tensor | None = None
    ) -> Tensor:
        """x `[B,N,320]`, regions `[B,R,N]`."""
        text = x if ctx is None else ctx
        b, n, _ = x.shape
        r = 1 if regions is None else text.shape[1]
        q = self.to_q(x).view(b, 1, n, HEADS, -1).expand(-1, r, -1, -1, -1).flatten(0, 1)
        text = text.reshape(b * r, -1, text.shape[-1])
        k, v = (
            layer(text).view(b * r, -1, HEADS, WIDTH // HEADS).transpose(1, 2)
            for layer in (self.to_k, self.to_v)
        )
        y = F.scaled_dot_product_attention(q.transpose(1, 2), k, v)
        y = y.transpose(1, 2).reshape(b, r, n, WIDTH)
        if regions is None:
            return self.to_out(y[:, 0])
        return self.to_out((y * regions[..., None].to(y.dtype)).sum(1))


class GEGLU(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.proj = Low(WIDTH, 8 * WIDTH, FEED_RANK)

    def forward(self, x: Tensor) -> Tensor:
        x, gate = self.proj(x).chunk(2, -1)
        return x * F.gelu(gate)


class FeedForward(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(GEGLU(), nn.Identity(), Low(4 * WIDTH, WIDTH, FEED_RANK))

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


class TransformerBlock(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attn1, self.attn2, self.ff = Attention(), Attention(CONTEXT), FeedForward()
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(WIDTH) for _ in range(3))

    def forward(self, x: Tensor, ctx: Tensor, regions: Tensor | None) -> Tensor:
        x = x + self.attn1(self.norm1(x))
        x = x + self.attn2(self.norm2(x), ctx, regions)
        return x + self.ff(self.norm3(x))


class SpatialTransformer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm = Norm(WIDTH, eps=1e-6)
        self.proj_in = Low(WIDTH, WIDTH, ATTENTION_RANK, conv=True)
        self.transformer_blocks = nn.ModuleList([TransformerBlock()])
        self.proj_out = Low(WIDTH, WIDTH, ATTENTION_RANK, conv=True, zero=True)

    def forward(self, x: Tensor, emb: Tensor, ctx: Context) -> Tensor:
        b, c, h, w = x.shape
        y = self.proj_in(self.norm(x)).flatten(2).transpose(1, 2)
        text, regions = ctx
        if regions is not None:
            regions = F.interpolate(regions, (h, w), mode="area").flatten(2)
        for block in self.transformer_blocks:
            y = block(y, text, regions)
        return x + self.proj_out(y.transpose(1, 2).reshape(b, c, h, w))


class Down(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.op = LowConv(WIDTH, WIDTH, CONV_RANK, stride=2)

    def forward(self, x: Tensor, emb: Tensor, ctx: Context) -> Tensor:
        return self.op(x)


class Up(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = LowConv(WIDTH, WIDTH, CONV_RANK)

    def forward(self, x: Tensor, emb: Tensor, ctx: Context) -> Tensor:
        return self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))


class FirstConv(nn.Conv2d):
    def __init__(self) -> None:
        super().__init__(4, WIDTH, 3, padding=1)

    def forward(self, x: Tensor, emb: Tensor, ctx: Context) -> Tensor:  # type: ignore[override]
        return super().forward(x)


class Stage(nn.Sequential):
    """Layers one after the other that all see the time and the text."""

    def forward(self, x: Tensor, emb: Tensor, ctx: Context) -> Tensor:  # type: ignore[override]
        for layer in self:
            x = layer(x, emb, ctx)
        return x
