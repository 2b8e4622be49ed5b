"""Which forwards are replaced, and for how long: only while the diffusion model runs.

ComfyUI ejects injections only when another clone is loaded, which would leave forwards wrapped
after the run. So they are installed around each forward pass and removed in a `finally`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def replaced_methods(replacements: Iterable[tuple[nn.Module, str, Callable]]) -> Iterator[None]:
    """Set (module, name of a method, stand-in) for the time of the block, and put back exactly what
    was there: an instance attribute of somebody else, or none at all."""
    before: list[tuple[nn.Module, str, Callable | None]] = []
    try:
        for module, name, method in replacements:
            before.append((module, name, module.__dict__.get(name)))
            # Not by nn.Module's own __setattr__, which looks for parameters, hundreds of times a step.
            module.__dict__[name] = method
        yield
    finally:
        for module, name, method in reversed(before):
            if method is None:
                module.__dict__.pop(name, None)
            else:
                module.__dict__[name] = method


def replaced_forwards(replacements: Iterable[tuple[nn.Module, Callable]]):
    """`replaced_methods` for `forward`."""
    return replaced_methods((module, "forward", forward) for module, forward in replacements)
