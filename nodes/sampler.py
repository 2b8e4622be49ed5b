"""The hosted services' scheduler names, for core's custom sampling."""

from comfy.samplers import sampler_object
from comfy_api.latest import io

from ..ensemble.recipes.schedulers import NAMES, ApproximateSchedulerError, choose
from ..ensemble.sampling.sigmas import sigmas_to_walk
from .widgets import share


class EnsembleSampler(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="EnsembleSampler",
            display_name="Sampler by Hosted Name",
            category="Ensemble/sampling",
            description="Sampler and sigmas for a hosted scheduler name, for SamplerCustom.",
            search_aliases=[
                "scheduler",
                "UniPC",
                "dpm++sde_karras",
                "DPMSolver",
                "diffusers scheduler",
            ],
            inputs=[
                io.Model.Input("model", tooltip="Model whose noise levels are walked."),
                io.Combo.Input(
                    "name",
                    options=list(NAMES),
                    default="dpm++sde_karras",
                    tooltip="Scheduler as the hosted service names it.",
                ),
                io.Boolean.Input(
                    "karras",
                    default=False,
                    tooltip="use_karras_sigmas. Acts only on the schedulers that know it.",
                ),
                io.Int.Input("steps", default=30, min=1, max=1000, tooltip="Steps of a full run."),
                share(
                    "denoise",
                    1.0,
                    "Below 1 the last steps x denoise steps are run, as by diffusers.",
                ),
                io.Boolean.Input(
                    "stochastic",
                    default=False,
                    advanced=True,
                    tooltip="algorithm_type: the SDE form of DPMSolverMultistep.",
                ),
                io.Boolean.Input(
                    "allow_approximate",
                    default=False,
                    advanced=True,
                    tooltip="Take the nearest sampler for a name without a true equivalent.",
                ),
            ],
            outputs=[
                io.Sampler.Output("sampler", tooltip="Sampler for SamplerCustom."),
                io.Sigmas.Output("sigmas", tooltip="Noise levels, exactly as many steps as asked."),
            ],
        )

    @classmethod
    def validate_inputs(cls, name: str | None, allow_approximate: bool | None) -> bool | str:
        if name is None or allow_approximate is None:
            return True  # linked: choose() says the same when it arrives
        if name not in NAMES:
            return f"name: {name!r} is not a hosted scheduler; use one of {', '.join(NAMES)}"
        try:
            choose(name, allow_approximate=allow_approximate)
        except ApproximateSchedulerError as error:
            return str(error)
        return True

    @classmethod
    def execute(
        cls, *, model, name: str, karras: bool, steps: int, denoise: float, stochastic: bool,
        allow_approximate: bool,
    ) -> io.NodeOutput:  # fmt: skip
        choice = choose(
            name, karras=karras, stochastic=stochastic, allow_approximate=allow_approximate
        )
        sigmas = sigmas_to_walk(model, choice.scheduler, steps=steps, denoise=denoise)
        return io.NodeOutput(sampler_object(choice.sampler), sigmas)


NODES = [EnsembleSampler]
