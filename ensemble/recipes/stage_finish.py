"""Last stage: upscale, hires, faces, restore, paste back, grade, grain, check, save, in that order."""

from .build import Build, Flow, OutputSize
from .recipe import Service
from .schedulers import choose

UPSCALERS = "an upscale model would do better; put one into models/upscale_models"
_GRAIN_STOCK = "Portra 400"


def add_finish(build: Build, flow: Flow) -> None:
    """The finishing chain over `flow.image`, ending in a saved PNG."""
    recipe, graph = build.recipe, build.graph
    _add_hires(build, flow)
    if recipe.inpaint_faces and build.has_node("FaceInpaint", "inpaint_faces"):
        flow.image = graph.add(
            "FaceInpaint",
            "faces",
            "Faces",
            image=flow.image,
            vae=flow.vae,
            cfg=recipe.cfg,
            **_painter(build, flow),
        )[0]
    if recipe.face_correct and build.has_node("EnsembleFaceRestore", "face_correct"):
        hint = "put GFPGAN, RestoreFormer or CodeFormer into models/facerestore_models"
        model = build.first("facerestore_models", "face_correct", hint)
        if model:
            flow.image = graph.add(
                "EnsembleFaceRestore",
                "restore",
                "Restore Faces",
                image=flow.image,
                model=model,
                # Their heads say where faces are, if no detector is there.
                people=flow.people,
            )[0]
    if recipe.face_swap and build.has_node("EnsembleFaceSwap", "face_swap"):
        flow.image = graph.add(
            "EnsembleFaceSwap",
            "face_swap",
            "Face Swap",
            image=flow.image,
            vae=flow.vae,
            cfg=recipe.cfg,
            **_painter(build, flow),
        )[0]
    _add_paste_back(build, flow)
    if recipe.color_grading and build.has_node("EnsembleColorGrade", "color_grading"):
        flow.image = graph.add(
            "EnsembleColorGrade",
            "grade",
            "Color Grade",
            image=flow.image,
            look=recipe.color_grading,
        )[0]
    if recipe.film_grain and build.has_node("FilmGrain", "film_grain"):
        flow.image = graph.add(
            "FilmGrain", "grain", "Film Grain", image=flow.image, seed=recipe.seed
        )[0]
    _add_safety(build, flow)
    graph.add("SaveImage", "save", "Save", images=flow.image, filename_prefix=build.options.prefix)


def _painter(build: Build, flow: Flow) -> dict[str, object]:
    """What paints again: PEOPLE where there are any, with the recipe's sampler."""
    recipe = build.recipe
    choice = choose(recipe.scheduler or "", karras=bool(recipe.karras), allow_approximate=True)
    return {
        # Beside people only the ControlNets of the conditioning are taken.
        "people": flow.people,
        "model": None if flow.people else flow.model,
        "positive": flow.positive,
        "negative": flow.negative,
        "seed": recipe.seed,
        "steps": recipe.steps,
        "sampler": choice.sampler,
        "scheduler": choice.scheduler,
    }


def _add_hires(build: Build, flow: Flow) -> None:
    recipe = build.recipe
    again = bool(recipe.hires_fix or recipe.highres_fix)
    factor = 4.0 if recipe.super_resolution else float(recipe.upscale or 1)
    if recipe.highres_fix and factor == 1:
        factor = 2.0
    setting = "super_resolution" if recipe.service is Service.ASTRIA else "upscale"
    if (factor == 1 and not again) or not build.has_node("EnsembleHires", setting):
        return
    if recipe.hires_fix and not recipe.super_resolution:
        build.notes.append("hires_fix without super_resolution: the picture keeps its size")
    upscaler = None
    models = build.library.files.get("upscale_models", ())
    if factor > 1 and models:
        upscaler = build.graph.add(
            "UpscaleModelLoader", "upscale_model", "Upscale Model", model_name=models[0]
        )[0]
        build.files.append(("upscale_models", setting, models[0]))
    elif factor > 1:
        build.notes.append(f"{setting}: enlarged with Lanczos; {UPSCALERS}")
    flow.image = build.graph.add(
        "EnsembleHires",
        "hires",
        "Hires",
        image=flow.image,
        vae=flow.vae,
        upscale_model=upscaler,
        factor=factor,
        denoise=recipe.hires_denoise if again else 0.0,
        cfg=recipe.hires_cfg if recipe.service is Service.ASTRIA else recipe.cfg,
        **_painter(build, flow),
    )[0]


def _add_paste_back(build: Build, flow: Flow) -> None:
    """The kept pixels, from the input picture itself."""
    kept = flow.mask and flow.source and build.options.output_size is OutputSize.INPUT
    if kept and build.has_node("EnsemblePasteBack", "output_size"):
        original = flow.original
        if build.recipe.width and build.recipe.height:
            # The frame may be a part of the input picture, and how large a part is not known here.
            original = flow.source
            build.notes.append(
                "output_size: width and height are set, so the input picture is cut to that size"
            )
        flow.image = build.graph.add(
            "EnsemblePasteBack",
            "paste_back",
            "Keep the Input's Pixels",
            image=flow.image,
            original=original,
            mask=flow.mask,
        )[0]


def _add_safety(build: Build, flow: Flow) -> None:
    recipe = build.recipe
    if recipe.service is Service.ASTRIA:
        return
    if not recipe.safety_checker:
        build.notes.append("safety_checker: off, nothing was checked")
        return
    hint = "put Stable Diffusion's safety checker folder into models/safety_checker"
    checker = build.first("safety_checker", "safety_checker", hint)
    if checker:
        flow.image = build.graph.add(
            "EnsembleSafetyChecker",
            "safety",
            "Safety Checker",
            image=flow.image,
            checker=checker,
            action=recipe.safety_checker_type or "black",
        )[0]
