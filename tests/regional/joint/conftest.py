"""What every test of joint attention uses: small models, and no gradients."""

import pytest
import small
import torch


@pytest.fixture(scope="module", autouse=True)
def no_grad():
    with torch.no_grad():
        yield


@pytest.fixture(scope="module")
def models():
    made = {}

    def of(name):
        if name not in made:
            made[name] = small.FAMILIES[name].make()
        return made[name]

    return of
