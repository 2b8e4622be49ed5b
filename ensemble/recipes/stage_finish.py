"""Last stage: upscale, hires, faces, restore, paste back, grade, grain, check, save, in that order."""

from .build import Build, Flow, OutputSize
from .recipe import Service
from .schedulers import choose, for_steps

UPSCALERS = "an upscale model would do better; put one into models/upscale_models"
RESTORERS = "put GFPGAN, RestoreFormer or CodeFormer into models/facerestore_models"
CHECKERS = "put Stable Diffusion's safety checker folder into models/safety_checker"


def add_finish(build: Build, flow: Flow) -> None:
    """The finishing chain over `flow.image`, ending in a saved PNG."""
    recipe = build.recipe
    _add_hires(build, flow)
    painted = {"vae": flow.vae, "cfg": recipe.cfg, **_painter(build, flow)}
    if recipe.inpaint_faces:
        _over(build, flow, "FaceInpaint", "faces", "Faces", **painted)
    if recipe.face_correct:
        model = build.first("facerestore_models", "face_correct", RESTORERS)
        if model:
            # The heads of `people` say where faces are, if no detector is there.
            restore = {"model": model, "people": flow.people}
            _over(build, flow, "EnsembleFaceRestore", "restore", "Restore Faces", **restore)
    if recipe.face_swap:
        _over(build, flow, "EnsembleFaceSwap", "face_swap", "Face Swap", **painted)
    _add_paste_back(build, flow)
    if recipe.color_grading:
        look = recipe.color_grading
        _over(build, flow, "EnsembleColorGrade", "grade", "Color Grade", look=look)
    if recipe.film_grain:
        _over(build, flow, "FilmGrain", "grain", "Film Grain", seed=recipe.seed)
    _add_safety(build, flow)
    build.graph.add(
        "SaveImage", "save", "Save", images=flow.image, filename_prefix=build.options.prefix
    )


def _over(
    build: Build, flow: Flow, class_type: str, key: str, title: str, **inputs: object
) -> None:
    """A node that takes the picture and gives out another."""
    flow.image = build.graph.add(class_type, key, title, image=flow.image, **inputs)[0]


def _painter(build: Build, flow: Flow) -> dict[str, object]:
    """Inputs of nodes that paint again: PEOPLE where there are any, and the recipe's sampler."""
    recipe = build.recipe
    choice = choose(recipe.scheduler or "", karras=bool(recipe.karras), allow_approximate=True)
    return {
        # Beside people only the ControlNets of the conditioning are taken.
        "people": flow.people,
        "model": None if flow.people else flow.model,
        **flow.conditioning,
        "seed": recipe.seed,
        "steps": recipe.steps,
        "sampler": for_steps(choice.sampler, recipe.steps or 0),
        "scheduler": choice.scheduler,
    }


def _add_hires(build: Build, flow: Flow) -> None:
    recipe, astria = build.recipe, build.recipe.service is Service.ASTRIA
    again = bool(recipe.hires_fix or recipe.highres_fix)
    factor = 4.0 if recipe.super_resolution else float(recipe.upscale or 1)
    if recipe.highres_fix and factor == 1:
        factor = 2.0
    if factor == 1 and not again:
        return
    setting = "super_resolution" if astria else "upscale"
    if recipe.hires_fix and not recipe.super_resolution:
        build.notes.append("hires_fix without super_resolution: the picture keeps its size")
    upscaler = None
    models = build.library.files.get("upscale_models", ())
    if factor > 1 and models:
        file = build.use("upscale_models", setting, models[0])
        upscaler = build.graph.add(
            "UpscaleModelLoader", "upscale_model", "Upscale Model", model_name=file
        )[0]
    elif factor > 1:
        build.notes.append(f"{setting}: enlarged with Lanczos; {UPSCALERS}")
    inputs = {
        "vae": flow.vae,
        "upscale_model": upscaler,
        "factor": factor,
        "denoise": recipe.hires_denoise if again else 0.0,
        "cfg": recipe.hires_cfg if astria else recipe.cfg,
    }
    _over(build, flow, "EnsembleHires", "hires", "Hires", **inputs, **_painter(build, flow))


def _add_paste_back(build: Build, flow: Flow) -> None:
    """Paste the pixels outside the mask from the input picture."""
    if not (flow.mask and flow.source and build.options.output_size is OutputSize.INPUT):
        return
    original = flow.original
    if build.recipe.width and build.recipe.height:
        # The frame may be a part of the input picture, and how large a part is not known here.
        original = flow.source
        build.notes.append(
            "output_size: width and height are set, so the input picture is cut to that size"
        )
    kept = {"original": original, "mask": flow.mask}
    _over(build, flow, "EnsemblePasteBack", "paste_back", "Keep the Input's Pixels", **kept)


def _add_safety(build: Build, flow: Flow) -> None:
    recipe = build.recipe
    if recipe.service is Service.ASTRIA:
        return
    if not recipe.safety_checker:
        build.notes.append("safety_checker: off, nothing was checked")
        return
    checker = build.first("safety_checker", "safety_checker", CHECKERS)
    if checker:
        how = {"checker": checker, "action": recipe.safety_checker_type or "black"}
        _over(build, flow, "EnsembleSafetyChecker", "safety", "Safety Checker", **how)
