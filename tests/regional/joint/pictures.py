"""Reference pictures for the tests of joint attention: random latents, set by the keys of core's nodes."""

import dataclasses

import small
import torch
from ensemble_portraits.ensemble.regional.build import build

NAMES = ("flux", "flux2", "qwen_image", "krea2")
"""The families that take reference latents."""


def picture(name: str, seed: int, size=(10, 6)) -> torch.Tensor:
    """A reference latent; not of the painted picture's size."""
    generator = torch.Generator().manual_seed(500 + seed)
    channels = small.FAMILIES[name].channels
    frames = (1,) if name in ("qwen_image", "krea2") else ()
    return torch.randn(1, channels, *frames, *size, generator=generator)


def shown(person, latent, method):
    """The person with a reference, by the keys that core's nodes set."""
    values = {"reference_latents": [latent], "reference_latents_method": method}

    def side(text):
        return dataclasses.replace(
            text, conditioning=[[c, {**v, **values}] for c, v in text.conditioning]
        )

    return dataclasses.replace(
        person, positive=side(person.positive), negative=side(person.negative)
    )


def with_references(people, latents, method="index"):
    members = [
        p if latent is None else shown(p, latent, method)
        for p, latent in zip(people.people, latents, strict=True)
    ]
    return dataclasses.replace(people, people=tuple(members))


def run(name, people, **sampling):
    regional = build(people)
    calls = small.count_calls(regional.model)
    family = small.FAMILIES[name]
    out = small.sample(*regional[:3], family=family, size=family.sizes[0], **sampling)
    if sampling.get("cfg", 1.0) == 1.0:
        assert len(calls) == sampling.get("steps", 2)  # one call per step
    return out


def plain(name, model, person, **sampling):
    family = small.FAMILIES[name]
    return small.sample(
        model.clone(), person.positive.conditioning, person.negative.conditioning,
        family=family, size=family.sizes[0], **sampling,
    )  # fmt: skip
