"""Which forwards are replaced, and for how long: only while the diffusion model runs.

ComfyUI ejects injections only when another clone is loaded, which would leave forwards wrapped
after the run. So they are installed around each forward pass and removed in a `finally`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def replaced_forwards(replacements: Iterable[tuple[nn.Module, Callable]]) -> Iterator[None]:
    """Set `module.forward` for the time of the block, and put back exactly what was there: an
    instance attribute of somebody else, or none at all."""
    before: list[tuple[nn.Module, Callable | None]] = []
    try:
        for module, forward in replacements:
            before.append((module, module.__dict__.get("forward")))
            # Not by nn.Module's own __setattr__, which looks for parameters, hundreds of times a step.
            module.__dict__["forward"] = forward
        yield
    finally:
        for module, forward in reversed(before):
            if forward is None:
                module.__dict__.pop("forward", None)
            else:
                module.forward = forward
