"""What is wrong with the tensors of a LoRA file that reads well: errors and warnings before
sampling."""

from collections.abc import Iterable, Mapping

import torch

from ..prompt.errors import shown
from .files import LoraFile, LoraFileError

LARGE = 1 << 30
"""Bytes of one file beyond which its size is said: most LoRAs have a tenth of it."""


def check_numbers(file: LoraFile, tensors: Mapping[str, torch.Tensor]) -> None:
    """LoraFileError where a number is not finite: one would paint the whole picture black."""
    # Sums are NaN or infinite where a part is; the slower look is only for what they let doubt.
    bad = [k for k, t in tensors.items() if t.is_floating_point() and not _finite(t)]
    if bad:
        raise LoraFileError(
            f"LoRA file {shown(file.name)} holds numbers that are not finite, in {len(bad)} of "
            f"{len(tensors)} tensors, the first {shown(bad[0])}: its training has failed, or the "
            f"file is damaged. Use another state of the training"
        )


def _finite(tensor: torch.Tensor) -> bool:
    if tensor.dtype.itemsize == 1:  # float8, which has no sum
        tensor = tensor.float()
    if torch.isfinite(tensor.sum(dtype=torch.float32)):
        return True
    return bool(torch.isfinite(tensor).all())


def doubts(
    file: LoraFile, tensors: Mapping[str, torch.Tensor], misfits: Iterable[str]
) -> list[str]:
    """Lines about what can be used and is hardly meant."""
    name, lines = shown(file.name), []
    alphas = {key: t for key, t in tensors.items() if key.endswith(".alpha") and t.numel() == 1}
    turns = {k.rpartition(".")[0] for k in tensors if k.endswith(".oft_blocks")}  # 0: no bound
    zero = [k for k, t in alphas.items() if t.item() == 0 and k.rpartition(".")[0] not in turns]
    if zero:
        lines.append(
            f"LoRA {name}: alpha is 0 in {len(zero)} of {len(alphas)} layers, which therefore "
            f"change nothing"
        )
    layers = {
        k.removesuffix(".lora_down.weight") for k in tensors if k.endswith("lora_down.weight")
    }
    without = [layer for layer in layers if f"{layer}.alpha" not in alphas]
    if without and alphas:
        lines.append(
            f"LoRA {name}: {len(without)} of {len(layers)} layers have no alpha and act at their "
            f"full rank, unlike the others"
        )
    wrong = list(misfits)
    if wrong:
        lines.append(
            f"LoRA {name}: {len(wrong)} layers have another shape than this model's and are left "
            f"out, the first {shown(wrong[0])}"
        )
    if file.size > LARGE:
        lines.append(f"LoRA {name} is large: {file.size / 1e9:.1f} GB beside the model")
    return lines
