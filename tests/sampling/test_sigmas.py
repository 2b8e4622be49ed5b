import comfy.model_sampling
import comfy.samplers
import pytest
import torch
from diffusers import DDIMScheduler
from ensemble_portraits.ensemble.recipes.schedulers import DIFFUSERS, NAMES, choose, find
from ensemble_portraits.ensemble.sampling.sigmas import exact_sigmas, sigmas_to_walk


class Model:
    """Stands where a ModelPatcher stands: SD1.5's noise levels and nothing else."""

    def get_model_object(self, name: str):
        assert name == "model_sampling"
        return comfy.model_sampling.ModelSamplingDiscrete()


@pytest.mark.parametrize("steps", range(1, 61))
def test_ddim_uniform_gives_exactly_the_steps_and_diffusers_noise_levels(steps):
    sigmas = exact_sigmas(comfy.model_sampling.ModelSamplingDiscrete(), "ddim_uniform", steps)
    scheduler = DDIMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", steps_offset=1
    )
    scheduler.set_timesteps(steps)
    alphas = scheduler.alphas_cumprod[scheduler.timesteps]
    expected = ((1 - alphas) / alphas) ** 0.5
    assert len(sigmas) == steps + 1
    assert sigmas[-1] == 0
    # Both come from float32 cumulative products over 1000 betas; 1e-5 is their rounding.
    torch.testing.assert_close(sigmas[:-1], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("steps", [1, 7, 20, 30, 51])
def test_every_name_runs_exactly_the_steps_asked(name, steps):
    for karras in (False, True):
        choice = choose(name, karras=karras, allow_approximate=True)
        assert choice.sampler in comfy.samplers.SAMPLER_NAMES
        assert choice.scheduler in comfy.samplers.SCHEDULER_NAMES
        sigmas = sigmas_to_walk(Model(), choice.scheduler, steps=steps, denoise=1.0)
        assert len(sigmas) == steps + 1
        assert (sigmas[:-1] > sigmas[1:]).all()


@pytest.mark.parametrize(("denoise", "run"), [(1.0, 30), (0.8, 24), (0.5, 15), (0.05, 1), (0.0, 0)])
def test_denoise_runs_the_last_part_of_the_full_schedule(denoise, run):
    scheduler = choose("euler").scheduler
    full = sigmas_to_walk(Model(), scheduler, steps=30, denoise=1.0)
    part = sigmas_to_walk(Model(), scheduler, steps=30, denoise=denoise)
    assert len(part) == (run + 1 if run else 0)
    assert torch.equal(part, full[len(full) - len(part) :])


def test_karras_acts_only_where_diffusers_class_has_it():
    import diffusers

    for entry in DIFFUSERS:
        if entry.name in ("DDIMInverseScheduler", "KarrasVeScheduler", "ScoreSdeVeScheduler"):
            continue
        knows = "use_karras_sigmas" in getattr(diffusers, entry.name)().config
        assert (choose(entry.name, karras=True).scheduler == "karras") == knows, entry.name


def test_algorithm_type_acts_on_dpm_multistep_alone():
    assert choose("DPMSolverMultistepScheduler", stochastic=True).sampler == "dpmpp_2m_sde"
    assert choose("EulerDiscreteScheduler", stochastic=True).sampler == "euler"


def test_a_name_without_its_ending_is_the_same_scheduler():
    assert find("UniPCMultistep") is find("UniPCMultistepScheduler")


@pytest.mark.parametrize("karras", [False, True])
@pytest.mark.parametrize(("steps", "denoise"), [(1, 1.0), (2, 0.5), (2, 1.0), (3, 1.0)])
def test_unipc_with_few_steps_ends_at_the_picture(karras, steps, denoise):
    """A model that always sees the same picture is done after any number of steps."""
    from ensemble_portraits.nodes.sampler import EnsembleSampler

    picture = torch.full((1, 4, 8, 8), 0.3)
    model = Model()
    model.inner_model = model.model_patcher = model
    found = EnsembleSampler.execute(
        model=model, name="UniPCMultistepScheduler", steps=steps, denoise=denoise, karras=karras,
        stochastic=False, allow_approximate=False,
    )  # fmt: skip
    sampler, sigmas = found.result
    noise = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(1)) * sigmas[0]
    out = sampler.sampler_function(lambda x, sigma, **_: picture, noise, sigmas, extra_args={})
    # Core's UniPC stops at sigma 0.001.
    torch.testing.assert_close(out, picture, rtol=0, atol=0.01)
