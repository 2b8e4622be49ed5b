"""How a picture is sampled: the widgets that all nodes which paint have in common."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class SamplingSettings:
    """The inputs of core's KSampler, of which `sampler` and `scheduler` are its names."""

    seed: int = 0
    # As many are run at any denoise, as by KSampler.
    steps: int = 20
    cfg: float = 7.0
    sampler: str = "euler"
    scheduler: str = "karras"
    # 0..1, how much is painted anew.
    denoise: float = 1.0
