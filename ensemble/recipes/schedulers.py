"""Hosted scheduler names -> ComfyUI sampler and scheduler.

The 18 names are diffusers' classes as stablediffusionapi.com lists them, the 8 others are Astria's.
"Same method" never means "same picture": noise, final sigma and order differ between the engines;
docs/recipes.md has the measured distance per name.

diffusers' `linspace` includes the last trained level in some classes (core's `normal`) and leaves it
out in those of the DPM-Solver family (core's `sgm_uniform`; DEIS is nearer with `normal`).
"""

from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple


class Fit(Enum):
    """How well core ComfyUI's sampler matches the hosted one."""

    SAME_METHOD = "same method"
    NEAR = "near"
    APPROXIMATE = "approximate"


@dataclass(frozen=True)
class Scheduler:
    """One hosted name, with core's names for it."""

    name: str
    sampler: str
    spacing: str
    fit: Fit
    # Karras sigmas built in, not possible, or (None) by choice.
    karras: bool | None = False
    # The sampler where noise is drawn at each step.
    stochastic: str | None = None
    # A LoRA that the method needs.
    lora: str | None = None
    remark: str = ""


class SamplerChoice(NamedTuple):
    """Names as core's KSampler takes them."""

    sampler: str
    scheduler: str


class UnknownSchedulerError(ValueError):
    """The name is in neither service's list."""


class ApproximateSchedulerError(ValueError):
    """The name has no true equivalent in core ComfyUI, and an approximation was not allowed."""


SAME, NEAR, APPROXIMATE = Fit.SAME_METHOD, Fit.NEAR, Fit.APPROXIMATE
_LCM_REMARK = "needs an LCM model or LoRA, 4 to 8 steps, CFG 1 to 2"

# fmt: off
DIFFUSERS = (
    Scheduler("DDPMScheduler", "ddpm", "ddim_uniform", SAME),
    Scheduler("DDIMScheduler", "ddim", "ddim_uniform", SAME),
    Scheduler("PNDMScheduler", "ipndm", "ddim_uniform", NEAR,
        remark="the same Adams-Bashforth coefficients; PLMS takes its first step twice"),
    Scheduler("LMSDiscreteScheduler", "lms", "normal", SAME, karras=None),
    Scheduler("EulerDiscreteScheduler", "euler", "normal", SAME, karras=None),
    Scheduler("EulerAncestralDiscreteScheduler", "euler_ancestral", "normal", SAME),
    Scheduler("DPMSolverMultistepScheduler", "dpmpp_2m", "sgm_uniform", SAME, karras=None,
        stochastic="dpmpp_2m_sde"),
    Scheduler("HeunDiscreteScheduler", "heun", "normal", SAME, karras=None),
    Scheduler("KDPM2DiscreteScheduler", "dpm_2", "normal", SAME, karras=None),
    Scheduler("DPMSolverSinglestepScheduler", "dpmpp_sde", "sgm_uniform", NEAR, karras=None,
        remark='the service calls it "DPM++ SDE"; diffusers\' class of this name draws no noise'),
    Scheduler("KDPM2AncestralDiscreteScheduler", "dpm_2_ancestral", "normal", SAME, karras=None),
    Scheduler("UniPCMultistepScheduler", "uni_pc_bh2", "sgm_uniform", NEAR, karras=None,
        remark="both bh2; core goes to order 3, diffusers stays at 2"),
    Scheduler("DDIMInverseScheduler", "ddim", "ddim_uniform", APPROXIMATE,
        remark="it turns a picture into noise; DDIM forwards stands in for it"),
    Scheduler("DEISMultistepScheduler", "deis", "normal", NEAR, karras=None,
        remark="core integrates at order 3, diffusers at order 2"),
    Scheduler("IPNDMScheduler", "ipndm", "normal", NEAR,
        remark="by name; diffusers' noise curve is not SD's"),
    Scheduler("KarrasVeScheduler", "heun", "karras", APPROXIMATE, karras=True,
        remark="made for variance-exploding models; Heun on Karras sigmas stands in for it"),
    Scheduler("ScoreSdeVeScheduler", "euler_ancestral", "exponential", APPROXIMATE,
        remark="made for variance-exploding models; ancestral Euler stands in for it"),
    Scheduler("LCMScheduler", "lcm", "sgm_uniform", SAME, remark=_LCM_REMARK),
)

ASTRIA = (
    Scheduler("euler", "euler", "normal", SAME),
    Scheduler("euler_a", "euler_ancestral", "normal", SAME),
    Scheduler("dpm++2m", "dpmpp_2m", "normal", SAME),
    Scheduler("dpm++2m_karras", "dpmpp_2m", "karras", SAME, karras=True),
    Scheduler("dpm++sde", "dpmpp_sde", "normal", SAME),
    Scheduler("dpm++sde_karras", "dpmpp_sde", "karras", SAME, karras=True),
    Scheduler("lcm", "lcm", "sgm_uniform", SAME, lora="lcm", remark=_LCM_REMARK),
    Scheduler("tcd", "euler_ancestral", "sgm_uniform", APPROXIMATE,
        remark="core has no TCD; ancestral Euler stands in for it, with your TCD LoRA"),
)
# fmt: on

NAMES = tuple(entry.name for entry in DIFFUSERS + ASTRIA)
_BY_NAME = {entry.name: entry for entry in DIFFUSERS + ASTRIA}
# The LoRA pages print the class names without their ending as often as with it.
_BY_NAME |= {entry.name.removesuffix("Scheduler"): entry for entry in DIFFUSERS}


def find(name: str) -> Scheduler:
    """The entry of a hosted name, as the services spell it, with or without its `Scheduler`."""
    entry = _BY_NAME.get(name)
    if entry is None:
        raise UnknownSchedulerError(
            f"scheduler: {name!r} is not a hosted scheduler; use one of {', '.join(NAMES)}"
        )
    return entry


def for_steps(sampler: str, steps: int) -> str:
    """The sampler for so many steps from noise level to noise level.

    Core's UniPC returns its noise after a single one; UniPC of order 1, all that one step can be, is
    DDIM (arXiv:2302.04867, section 3.4), and DDIM is Euler's method over sigmas.
    """
    return "euler" if steps == 1 and sampler.startswith("uni_pc") else sampler


def choose(
    name: str, *, karras: bool = False, stochastic: bool = False, allow_approximate: bool = False
) -> SamplerChoice:
    """Sampler and scheduler for a hosted name.

    `karras` acts only where diffusers' class supports it, as at the service; `stochastic` is
    the service's `algorithm_type` and acts on DPMSolverMultistep alone.

    Raises UnknownSchedulerError and ApproximateSchedulerError.
    """
    entry = find(name)
    if entry.fit is Fit.APPROXIMATE and not allow_approximate:
        raise ApproximateSchedulerError(
            f"scheduler: {name} has no true equivalent in ComfyUI ({entry.remark}); "
            f"allow the approximation {entry.sampler} + {entry.spacing} (allow_approximate; in the "
            "hosted calls ensemble_allow_approximate=yes), or choose another name"
        )
    sampler = entry.stochastic if stochastic and entry.stochastic else entry.sampler
    spacing = "karras" if karras and entry.karras is None else entry.spacing
    return SamplerChoice(sampler, spacing)
