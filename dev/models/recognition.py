"""Embedders of faces, small and random: an SFace that OpenCV loads, and a DINOv2 folder."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch

from .checkpoint import config, random_weights

SIDE, PATCH, FILTERS = 112, 16, 8


def _field(number: int, value: int | bytes | str) -> bytes:
    """One field of a protobuf message: a whole number, or what has a length."""
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    value = value.encode() if isinstance(value, str) else value
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    low, rest = value & 127, value >> 7
    return bytes([low | 128]) + _varint(rest) if rest else bytes([low])


def _message(*fields: tuple[int, int | bytes | str]) -> bytes:
    return b"".join(_field(*field) for field in fields)


def _picture(name: str, shape: Iterable[int]) -> bytes:
    """ONNX's ValueInfoProto of a float tensor."""
    sides = b"".join(_field(1, _field(1, side)) for side in shape)
    return _message((1, name), (2, _field(1, _message((1, 1), (2, sides)))))


def _node(kind: str, inputs: Iterable[str], output: str, attribute: bytes) -> bytes:
    names = [(1, name) for name in inputs]
    return _message(*names, (2, output), (3, output), (4, kind), (5, attribute))


def onnx_of(kernels: np.ndarray) -> bytes:
    """A network in ONNX's own format (field numbers of onnx.proto): one convolution of a 112 px
    picture by `[n,3,16,16]`, its results in a row. Written by hand, because nothing that is
    installed here writes ONNX."""
    dims = [(1, side) for side in kernels.shape]
    weight = _message(*dims, (2, 1), (8, "w"), (9, kernels.astype("<f4").tobytes()))
    steps = _message((1, "strides"), (8, PATCH), (8, PATCH), (20, 7))
    graph = _message(
        (1, _node("Conv", ("data", "w"), "filtered", steps)),
        (1, _node("Flatten", ("filtered",), "fc1", _message((1, "axis"), (3, 1), (20, 2)))),
        (2, "small"),
        (5, weight),
        (11, _picture("data", (1, 3, SIDE, SIDE))),
        (12, _picture("fc1", (1, len(kernels) * (SIDE // PATCH) ** 2))),
    )
    return _message((1, 7), (2, "dev"), (7, graph), (8, _message((1, ""), (2, 12))))


def sface(models: Path) -> None:
    """face_recognition/small_sface.onnx: one random convolution, as OpenCV reads SFace"""
    kernels = torch.randn(FILTERS, 3, PATCH, PATCH).numpy()
    # A plain grey is then no direction, so that faces differ by their features.
    kernels -= kernels.mean((1, 2, 3), keepdims=True)
    folder = models / "face_recognition"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "small_sface.onnx").write_bytes(onnx_of(kernels))


def dinov2(models: Path) -> None:
    """face_recognition/small_dinov2: DINOv2 with random weights"""
    import transformers

    model = transformers.Dinov2Model(config("dinov2"))
    weights = random_weights(model)
    # These scale what a layer adds, and have no name that ends with "weight".
    weights.update({key: torch.ones_like(v) for key, v in weights.items() if "lambda" in key})
    model.load_state_dict(weights)
    folder = models / "face_recognition" / "small_dinov2"
    model.save_pretrained(folder)
    side = {"height": 56, "width": 56}
    transformers.BitImageProcessor(size={"shortest_edge": 56}, crop_size=side).save_pretrained(
        folder
    )


MAKERS = [sface, dinov2]
