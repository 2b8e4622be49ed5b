"""Fourth stage: sampling, and a second pass for people of another checkpoint."""

from ..prompt.emphasis import Weights, for_comfy
from ..prompt.grammar import parse_negative
from .build import Build, Flow
from .defaults import is_image_to_image
from .graph import Link
from .schedulers import ApproximateSchedulerError, UnknownSchedulerError, choose, find
from .stage_picture import region_of
from .stage_text import foreign_people, parsed

SECOND_PASS_DENOISE = 0.8


def add_sampling(build: Build, flow: Flow, latent: Link) -> None:
    """From the latent to the picture on `flow.image`."""
    recipe = build.recipe
    denoise = 1.0
    if is_image_to_image(recipe):
        denoise = 0.8 if recipe.denoise is None else recipe.denoise
    sampled = _sample(build, "", "Sampler", flow, latent, denoise)
    flow.image = build.graph.add("VAEDecode", "decode", "Decode", samples=sampled, vae=flow.vae)[0]


def check_scheduler(build: Build) -> None:
    """Refuse a name that cannot be sampled with, before anything is built on it."""
    try:
        choose(build.recipe.scheduler or "", allow_approximate=build.options.allow_approximate)
    except (UnknownSchedulerError, ApproximateSchedulerError) as error:
        build.refuse("scheduler", str(error).removeprefix("scheduler: "))


def _sample(
    build: Build, prefix: str, title: str, flow: Flow, latent: Link, denoise: float
) -> Link:
    recipe, graph = build.recipe, build.graph
    name = find(recipe.scheduler or "").name
    schedule = graph.add(
        "EnsembleSampler",
        f"{prefix}scheduler",
        f"Scheduler {name}",
        model=flow.model,
        name=name,
        karras=bool(recipe.karras),
        steps=recipe.steps,
        denoise=denoise,
        stochastic=recipe.algorithm == "dpmsolver+++",
        allow_approximate=build.options.allow_approximate,
    )
    return graph.add(
        "SamplerCustom",
        f"{prefix}sampler",
        title,
        model=flow.model,
        add_noise=True,
        noise_seed=recipe.seed,
        cfg=recipe.cfg,
        positive=flow.positive,
        negative=flow.negative,
        sampler=schedule[0],
        sigmas=schedule[1],
        latent_image=latent,
    )[0]


def add_second_passes(build: Build, flow: Flow) -> None:
    """Each person of another checkpoint, painted by it inside their own region and nowhere else.

    Through pixels, because the two models may be of different families.
    """
    if flow.regions is None or flow.image is None:
        return
    for tag, index in foreign_people(build):
        file = build.find("checkpoints", tag.name, f"<lora:{tag.name}>")
        if file:
            _second_pass(build, flow, flow.regions, index, file)


def _second_pass(build: Build, flow: Flow, regions: Link, index: int, file: str) -> None:
    graph, key, who = build.graph, f"person_{index + 1}", f"Person {index + 1}"
    loader = graph.add(
        "CheckpointLoaderSimple", f"{key}_checkpoint", f"Checkpoint of {who}", ckpt_name=file
    )
    own = Flow(model=loader[0], clip=loader[1], vae=loader[2])
    prompt = parsed(build)
    negatives = parse_negative(build.recipe.negative, len(prompt.people))
    texts = (prompt.person_texts[index], negatives.person_texts[index])
    weights = Weights.A1111 if build.recipe.use_lpw else Weights.OFF
    encoded = [
        graph.add(
            "CLIPTextEncode",
            f"{key}_{name}",
            f"{name.capitalize()} of {who}",
            clip=own.clip,
            text=for_comfy(text, weights),
        )[0]
        for name, text in zip(("prompt", "negative"), texts, strict=True)
    ]
    own.positive, own.negative = encoded
    mask_key = f"{key}_mask"
    mask = Link(mask_key, 0) if mask_key in graph.nodes else region_of(build, regions, index)
    latent = graph.add(
        "VAEEncode", f"{key}_encode", f"Encode for {who}", pixels=flow.image, vae=own.vae
    )
    masked = graph.add(
        "SetLatentNoiseMask", f"{key}_inside", f"Inside {who}", samples=latent[0], mask=mask
    )
    sampled = _sample(build, f"{key}_", f"Sampler of {who}", own, masked[0], SECOND_PASS_DENOISE)
    painted = graph.add("VAEDecode", f"{key}_decode", f"Decode {who}", samples=sampled, vae=own.vae)
    flow.image = graph.add(
        "ImageCompositeMasked",
        f"{key}_composite",
        f"{who} into the Picture",
        destination=flow.image,
        source=painted[0],
        x=0,
        y=0,
        resize_source=False,
        mask=mask,
    )[0]
    build.notes.append(f"{who} is painted by {file} in a second pass inside their region")
