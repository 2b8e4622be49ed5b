"""The hosted services' scheduler names, for core's custom sampling."""

from comfy.samplers import sampler_object
from comfy_api.latest import io

from ..ensemble.recipes.schedulers import NAMES, ApproximateSchedulerError, choose, for_steps
from ..ensemble.sampling.sigmas import sigmas_to_walk
from .widgets import advanced, choice, share, switch, whole


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
                choice(
                    "name",
                    NAMES,
                    "Scheduler as the hosted service names it.",
                    default="dpm++sde_karras",
                ),
                switch(
                    "karras", False, "use_karras_sigmas. Acts only on the schedulers that know it."
                ),
                whole("steps", 30, (1, 1000), "Steps of a full run."),
                share(
                    "denoise",
                    1.0,
                    "Below 1 the last steps x denoise steps are run, as by diffusers.",
                ),
                *advanced(
                    switch(
                        "stochastic", False, "algorithm_type: the SDE form of DPMSolverMultistep."
                    ),
                    switch(
                        "allow_approximate",
                        False,
                        "Take the nearest sampler for a name without a true equivalent.",
                    ),
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
    def execute(cls, *, model, name: str, steps: int, denoise: float, **how: bool) -> io.NodeOutput:
        sampler, scheduler = choose(name, **how)
        sigmas = sigmas_to_walk(model, scheduler, steps=steps, denoise=denoise)
        return io.NodeOutput(sampler_object(for_steps(sampler, len(sigmas) - 1)), sigmas)


NODES = [EnsembleSampler]
