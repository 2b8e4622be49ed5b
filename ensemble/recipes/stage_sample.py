"""Fourth stage: sampling, and a second pass for people of another checkpoint."""

from ..prompt.emphasis import Weights, for_comfy
from ..prompt.grammar import parse_negative
from .build import Build, Flow
from .defaults import is_image_to_image, only_the_input
from .graph import Link
from .schedulers import (
    ApproximateSchedulerError,
    Fit,
    UnknownSchedulerError,
    choose,
    find,
    for_steps,
)
from .stage_models import load_checkpoint
from .stage_picture import add_latent, region_of
from .stage_text import encode, foreign_people

SECOND_PASS_DENOISE = 0.8


def add_sampling(build: Build, flow: Flow, size: tuple[Link, Link] | None) -> None:
    """The first picture on `flow.image`: sampled, or the input picture itself where the recipe only
    upscales or outpaints it. `size` is the pose's."""
    recipe = build.recipe
    if only_the_input(recipe) and flow.source:
        # Outpainting counts on the working size.
        whole = recipe.only_upscale and not recipe.outpaint
        flow.image = flow.original if whole else flow.source
        if (count := recipe.pictures or 1) > 1:
            repeated = {"image": flow.image, "amount": count}
            flow.image = build.graph.add("RepeatImageBatch", "batch", "Batch", **repeated)[0]
        return
    latent = add_latent(build, flow, size)
    denoise = recipe.denoise if is_image_to_image(recipe) and recipe.denoise is not None else 1.0
    flow.image = sample(build, flow, latent, denoise)


def check_scheduler(build: Build) -> None:
    """Refuse a name that cannot be sampled with, before anything is built on it."""
    name, allowed = build.recipe.scheduler or "", build.allow_approximate
    if build.model.family and not name:
        return
    try:
        choice = choose(name, allow_approximate=allowed)
        if find(name).fit is Fit.APPROXIMATE:
            build.notes.append(f"scheduler: {name} is approximated by {' + '.join(choice)}")
        if for_steps(choice.sampler, build.recipe.steps or 0) != choice.sampler:
            build.notes.append(f"scheduler: one step of {name} is one of Euler's method")
    except (UnknownSchedulerError, ApproximateSchedulerError) as error:
        build.refuse("scheduler", str(error).removeprefix("scheduler: "))


def sample(
    build: Build, flow: Flow, latent: Link, denoise: float, key: str = "", who: str = ""
) -> Link:
    """The picture that is sampled; `key` and `who` begin the nodes' keys and end their titles."""
    recipe, graph = build.recipe, build.graph
    sampler, sigmas = _schedule(build, flow, denoise, key)
    if build.model.family and build.model.family.guidance is not None:
        guided = {"conditioning": flow.positive, "guidance": build.model.family.guidance}
        flow.positive = graph.add("FluxGuidance", f"{key}guidance", "Guidance", **guided)[0]
    sampled = graph.add(
        "SamplerCustom",
        f"{key}sampler",
        f"Sampler{who}",
        model=flow.model,
        noise_seed=recipe.seed,
        cfg=recipe.cfg,
        **flow.conditioning,
        sampler=sampler,
        sigmas=sigmas,
        latent_image=latent,
    )
    decoded = {"samples": sampled[0], "vae": flow.vae}
    return graph.add("VAEDecode", f"{key}decode", f"Decode{who}", **decoded)[0]


def _schedule(build: Build, flow: Flow, denoise: float, key: str) -> tuple[Link, Link]:
    """Sampler and noise levels: of the hosted name, else the family's own."""
    recipe, graph, family = build.recipe, build.graph, build.model.family
    if family and not recipe.scheduler:
        chosen = graph.add(
            "KSamplerSelect", f"{key}sampler_name", "Sampler", sampler_name=family.sampler
        )
        if family.own_steps and denoise == 1.0 and recipe.width and recipe.height:
            size = {"width": recipe.width, "height": recipe.height}
            steps = graph.add(
                family.own_steps, f"{key}scheduler", "Steps", steps=recipe.steps, **size
            )
            return chosen[0], steps[0]
        how = {"scheduler": family.scheduler, "steps": recipe.steps, "denoise": denoise}
        steps = graph.add("BasicScheduler", f"{key}scheduler", "Steps", model=flow.model, **how)
        return chosen[0], steps[0]
    name = find(recipe.scheduler or "").name
    schedule = graph.add(
        "EnsembleSampler",
        f"{key}scheduler",
        f"Scheduler {name}",
        model=flow.model,
        name=name,
        karras=bool(recipe.karras),
        steps=recipe.steps,
        denoise=denoise,
        stochastic=recipe.algorithm == "dpmsolver+++",
        allow_approximate=build.allow_approximate,
    )
    return schedule[0], schedule[1]


def add_second_passes(build: Build, flow: Flow) -> None:
    """Each person of another checkpoint, painted by it inside their own region and nowhere else.

    Through pixels, because the two models may be of different families.
    """
    if flow.regions is None or flow.image is None:
        return
    for tag, index in foreign_people(build):
        file = build.find("checkpoints", tag.name, f"<lora:{tag.name}>")
        if file:
            flow.image = _second_pass(build, flow.image, flow.regions, index, file)


def _second_pass(build: Build, image: Link, regions: Link, index: int, file: str) -> Link:
    graph, recipe, key = build.graph, build.recipe, f"person_{index + 1}_"
    person, who = f"Person {index + 1}", f" of Person {index + 1}"
    own = load_checkpoint(build, file, key, who)
    negatives = parse_negative(recipe.negative, recipe.people)
    weights = Weights.A1111 if recipe.use_lpw else Weights.OFF
    texts = (recipe.parts.person_texts[index], negatives.person_texts[index])
    own.positive, own.negative = encode(
        build, own.clip, tuple(for_comfy(text, weights) for text in texts), key, who
    )
    mask = Link(f"{key}mask", 0)
    if mask.node not in graph.nodes:
        mask = region_of(build, regions, index)
    pixels = {"pixels": image, "vae": own.vae}
    latent = graph.add("VAEEncode", f"{key}encode", f"Encode for {person}", **pixels)
    inside = {"samples": latent[0], "mask": mask}
    masked = graph.add("SetLatentNoiseMask", f"{key}inside", f"Inside {person}", **inside)
    painted = sample(build, own, masked[0], SECOND_PASS_DENOISE, key, who)
    build.notes.append(f"{person} is painted by {file} in a second pass inside their region")
    return graph.add(
        "ImageCompositeMasked",
        f"{key}composite",
        f"{person} into the Picture",
        destination=image,
        source=painted,
        mask=mask,
    )[0]
