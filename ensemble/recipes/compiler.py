"""Recipe -> ComfyUI graph in API format, with a report of everything that acted."""

from dataclasses import dataclass, replace
from typing import Any

from .build import Build, Options
from .choose_model import DEFAULT, DIFFUSION, ENCODERS, VAE, choose_model
from .defaults import fill_defaults, idle, service_names
from .definitions import complete
from .families import restricted
from .graph import ApiGraph, Link
from .library import Library, Missing, MissingError
from .problems import RecipeError
from .recipe import Recipe, Service
from .stage_control import add_control
from .stage_finish import add_before_outpaint, add_finish
from .stage_models import add_models
from .stage_outpaint import add_outpaint, read_canvas
from .stage_picture import add_mask, add_pose, add_source
from .stage_sample import add_sampling, add_second_passes, check_scheduler
from .stage_text import add_text, foreign_people

MOST_PEOPLE = 16
# Each is looked up, and what is not there is compared with all there are.
MOST_NAMES = 500


@dataclass(frozen=True)
class Compiled:
    # With every default filled in.
    recipe: Recipe
    graph: ApiGraph
    report: dict[str, Any]
    missing: tuple[Missing, ...]
    # File name -> picture, to be put into the input folder before the graph is queued.
    uploads: dict[str, bytes]


def compile_recipe(recipe: Recipe, library: Library, options: Options) -> Compiled:
    """Raises MissingError with everything the machine lacks (unless `skip_missing`), and RecipeError
    for what no machine can do.
    """
    model = choose_model(recipe.model or options.checkpoint or DEFAULT, library)
    full, acted = fill_defaults(recipe, options.seed, model.family)
    unable: dict[str, str] = {}
    if model.family:
        full, unable = restricted(full, model.family)
    build = Build(full, library, options, model)
    names = service_names(full)
    build.notes += [f"{names.get(field, field)}: {why}" for field, why in unable.items()]
    for field, why in idle(full).items():
        if getattr(recipe, field):
            build.notes.append(f"{names.get(field, field)}: {why}, so it does nothing")
    check_scheduler(build)
    _check_people(build)
    _check_names(build)
    _check_family(build)
    read_canvas(build)
    if build.refused:
        raise RecipeError(build.refused)
    _add_stages(build)
    missing = tuple(dict.fromkeys(build.missing))
    if build.refused:
        raise RecipeError(build.refused)
    if missing and not (options.skip_missing and _runs_without(missing, bool(model.family))):
        raise MissingError(missing)
    complete(build.graph.nodes, library.nodes)
    report = {
        "service": full.service.value,
        "task": full.task.value,
        "seed": full.seed,
        "pictures": [
            {"seed": full.seed, "batch_index": index} for index in range(full.pictures or 1)
        ],
        "defaults": acted,
        "notes": build.notes,
        "left_out": [str(each) for each in missing],
        "files": build.files,
    }
    return Compiled(full, build.graph.nodes, report, missing, build.uploads)


def _add_stages(build: Build) -> None:
    flow = add_models(build)
    plain = replace(flow)
    add_source(build, flow)
    pose, regions = add_pose(build, flow)
    add_text(build, flow, regions)
    add_mask(build, flow, regions)
    add_control(build, flow, pose)
    size = (Link("pose", 4), Link("pose", 5)) if pose and flow.original else None
    add_sampling(build, flow, size)
    if build.recipe.service is Service.ASTRIA:
        add_second_passes(build, flow)
    if build.recipe.outpaint:
        add_before_outpaint(build, flow)
        add_outpaint(build, flow, plain)
    add_finish(build, flow)


def _check_family(build: Build) -> None:
    """What cannot be built from the model at hand, beside what is only left out of the graph."""
    if why := build.model.unknown:
        build.refuse("checkpoint", why)
    family = build.model.family
    if family is None:
        return
    if build.recipe.outpaint:
        build.refuse(
            "outpaint", f"{family.name} has no outpainting here; use a Stable Diffusion one"
        )
    for tag, _ in () if build.refused else foreign_people(build):
        build.refuse(
            f"<lora:{tag.name}>",
            f"is a checkpoint, and beside {family.name} nobody is painted by another; name a LoRA",
        )
    if not build.recipe.scheduler:
        build.notes.append(
            f"sampler: {family.sampler} + {family.scheduler}, as {family.name} has it"
        )
    else:
        build.notes.append(
            f"scheduler: {build.recipe.scheduler} was made for Stable Diffusion's noise levels; "
            f"without it {family.name} takes {family.sampler} + {family.scheduler}"
        )


def _check_people(build: Build) -> None:
    if build.recipe.service is Service.LORA_MULTI:
        return
    people = build.recipe.parts.people
    if len(people) > MOST_PEOPLE:
        build.refuse("prompt", f"has {len(people)} people; at most {MOST_PEOPLE} can be told apart")
    for index, person in enumerate(people):
        if not person.text and not person.loras and not person.reference:
            build.notes.append(f"prompt: person {index + 1} has no text of their own")


def _check_names(build: Build) -> None:
    recipe = build.recipe
    names = (
        len(recipe.loras) + len(recipe.embeddings) + (recipe.prompt + recipe.negative).count("<")
    )
    if names > MOST_NAMES:
        build.refuse(
            "prompt", f"names {names} LoRAs and embeddings; at most {MOST_NAMES} are taken"
        )


def _runs_without(missing: tuple[Missing, ...], family: bool) -> bool:
    """Whether leaving out what is missing leaves a graph that can run: not without a model, an input
    picture or, in a `family` whose files lie apart, a VAE."""
    needed = {"checkpoints", "images", DIFFUSION, ENCODERS, *([VAE] if family else [])}
    return all(each.folder not in needed for each in missing)
