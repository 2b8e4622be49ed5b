"""What every test of joint attention uses: small models."""

import pytest
import small


@pytest.fixture(scope="module")
def models():
    made = {}

    def of(name):
        if name not in made:
            made[name] = small.FAMILIES[name].make()
        return made[name]

    return of
