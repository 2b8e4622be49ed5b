"""Parsed LoRA files, kept between runs within a budget of bytes and given up when ComfyUI frees its
memory.

Core has no callback for "free memory": it drops its node cache, and with it the node objects. So a
node that reads LoRAs holds a `Lease` from its `__init__`, as core's LoraLoader holds the file it
loaded; when the last such object is gone, so is everything here.
"""

import weakref
from collections import OrderedDict
from collections.abc import Mapping

import torch

from .files import LoraFile, load_tensors
from .health import check_numbers

MAX_BYTES = 4 << 30
RAM_SHARE = 8  # at most an eighth of the machine's memory


class Lease:
    """Held by a node object for as long as its runs may want the cache."""


class TensorCache:
    """Least recently used files first out. `load` is the only way in."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._entries: OrderedDict[LoraFile, tuple[Mapping[str, torch.Tensor], int]] = OrderedDict()
        self._leases = 0

    def lease(self) -> Lease:
        lease = Lease()
        self._leases += 1
        weakref.finalize(lease, self._released)
        return lease

    def _released(self) -> None:
        self._leases -= 1
        if not self._leases:
            self.clear()

    def load(self, file: LoraFile) -> Mapping[str, torch.Tensor]:
        """The file's tensors by key, in core's converted naming. Raises LoraFileError."""
        if file in self._entries:
            self._entries.move_to_end(file)
            return self._entries[file][0]
        from comfy.lora_convert import convert_lora

        tensors = convert_lora(load_tensors(file))
        check_numbers(file, tensors)
        for stale in [known for known in self._entries if known.path == file.path]:
            del self._entries[stale]
        self._entries[file] = tensors, sum(t.nbytes for t in tensors.values())
        while self.bytes > self._max_bytes and len(self._entries) > 1:
            self._entries.popitem(last=False)
        return tensors

    @property
    def bytes(self) -> int:
        return sum(size for _, size in self._entries.values())

    def __len__(self) -> int:
        return len(self._entries)

    def clear(self) -> None:
        self._entries.clear()


def _budget() -> int:
    import psutil

    return min(MAX_BYTES, psutil.virtual_memory().total // RAM_SHARE)


TENSORS = TensorCache(_budget())
