"""The measured distance of each name from diffusers' scheduler, held to what docs/recipes.md says."""

import pytest

from benchmarks.scheduler_parity import measure

# Where method, spacing and last sigma are the same, only float32 rounding is left.
SAME = 1e-4
# DDIM, DDPM and PNDM end at sigma 0 here and at the first trained level there; LMS integrates its
# coefficients otherwise; multistep methods lower their order at the end in different places.
ENDING = 0.05
LIMITS = {
    "DDPMScheduler": ENDING,
    "DDIMScheduler": ENDING,
    "PNDMScheduler": ENDING,
    "LMSDiscreteScheduler": ENDING,
    "DPMSolverMultistepScheduler": ENDING,
    "UniPCMultistepScheduler": ENDING,
    "LCMScheduler": 1e-3,
    "lcm": 1e-3,
    "dpm++2m_karras": ENDING,
    # Order 3 here, 2 there, over the wide last step of linear spacing.
    "DEISMultistepScheduler": 0.1,
    # Astria's name in A1111's meaning places its steps as `normal`, diffusers does not.
    "dpm++2m": 0.5,
    # The service's label, not diffusers' method.
    "DPMSolverSinglestepScheduler": 2.0,
}


@pytest.fixture(scope="module")
def rows():
    return measure()


def test_distances_are_as_documented(rows):
    for row in rows:
        assert row["maximum"] < LIMITS.get(row["name"], SAME), row
        assert 0.5 < row["size"] < 2


def test_every_name_with_a_partner_is_measured(rows):
    from ensemble_portraits.ensemble.recipes.schedulers import NAMES, Fit, find

    unmeasured = set(NAMES) - {row["name"] for row in rows}
    approximate = {name for name in NAMES if find(name).fit is Fit.APPROXIMATE}
    assert unmeasured == approximate | {"IPNDMScheduler"}
