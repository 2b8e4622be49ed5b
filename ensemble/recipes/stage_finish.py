"""Last stage: upscale, hires, faces, restore, paste back, grade, grain, check, save, in that order."""

from .build import Build, Flow, OutputSize
from .defaults import only_the_input
from .recipe import Service
from .schedulers import SamplerChoice, choose, for_steps

UPSCALERS = "an upscale model would do better; put one into models/upscale_models"
# The service names no factor.
ONLY_UPSCALE = 2.0
RESTORERS = "put GFPGAN, RestoreFormer or CodeFormer into models/facerestore_models"
CHECKERS = "put Stable Diffusion's safety checker folder into models/safety_checker"


def add_finish(build: Build, flow: Flow) -> None:
    """The finishing chain over `flow.image`, ending in a saved PNG."""
    recipe = build.recipe
    _add_hires(build, flow, repaint=not recipe.outpaint)
    if not recipe.outpaint:
        add_faces(build, flow)
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


def add_before_outpaint(build: Build, flow: Flow) -> None:
    """What paints people again, before their regions no longer are where they stand."""
    _add_hires(build, flow, enlarge=False)
    add_faces(build, flow)


def add_faces(build: Build, flow: Flow) -> None:
    """Faces redrawn, restored and swapped."""
    recipe = build.recipe
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
        swap = _swap_from_pictures(build)
        _over(build, flow, "EnsembleFaceSwap", "face_swap", "Face Swap", **painted, **swap)


def _swap_from_pictures(build: Build) -> dict[str, str]:
    """Mode and names for everybody who has pictures of their face in the alias file; nothing where
    somebody has none, whose LoRA then paints the face."""
    parts = build.recipe.parts
    people = parts.people or (parts.base,)
    faces = build.library.faces
    found = [next((faces[t.name] for t in each.loras if t.name in faces), None) for each in people]
    if None in found:
        if any(found):
            who = found.index(None) + 1
            build.notes.append(
                f"face_swap: person {who} has no faces in the alias file; LoRAs paint"
            )
        return {}
    names = [name for name in found if name]
    if not any("mediapipe" in file.lower() for file in build.library.files.get("detection", ())):
        build.notes.append(
            "face_swap: LoRAs paint the faces; to lay the pictures of the alias file over them put "
            "mediapipe_face_fp32.safetensors (Comfy-Org/mediapipe) into models/detection"
        )
        return {}
    build.notes.append(f"face_swap: the faces come from the pictures of {', '.join(names)}")
    return {"mode": "warp", "names": ", ".join(names)}


def _over(
    build: Build, flow: Flow, class_type: str, key: str, title: str, **inputs: object
) -> None:
    """A node that takes the picture and gives out another."""
    flow.image = build.graph.add(class_type, key, title, image=flow.image, **inputs)[0]


def _painter(build: Build, flow: Flow) -> dict[str, object]:
    """Inputs of nodes that paint again: PEOPLE where there are any, and the recipe's sampler."""
    recipe = build.recipe
    family = build.model.family
    if family and not recipe.scheduler:
        choice = SamplerChoice(family.sampler, family.scheduler)
    else:
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


def _add_hires(build: Build, flow: Flow, *, repaint: bool = True, enlarge: bool = True) -> None:
    """Around an outpainting in two parts: the people are painted again before it, in their regions,
    and the whole canvas is enlarged after it."""
    recipe, astria = build.recipe, build.recipe.service is Service.ASTRIA
    again = bool(recipe.hires_fix or recipe.highres_fix or recipe.tiled_upscale)
    four = recipe.super_resolution or recipe.tiled_upscale
    factor = 4.0 if four else float(recipe.upscale or 1)
    denoise, cfg = (
        recipe.hires_denoise if again else 0.0,
        recipe.hires_cfg if astria else recipe.cfg,
    )
    if recipe.only_upscale and only_the_input(recipe):
        again, factor = True, factor if factor > 1 else ONLY_UPSCALE
        denoise, cfg = recipe.denoise, recipe.cfg
    if recipe.highres_fix and factor == 1:
        factor = 2.0
    if not repaint:
        again, denoise = False, 0.0
    elif not enlarge:
        again, factor = again and bool(denoise), 1.0
    if factor == 1 and not again:
        return
    setting = "super_resolution" if astria else "upscale"
    if recipe.hires_fix and factor == 1 and enlarge:
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
        "denoise": denoise,
        "cfg": cfg,
    }
    key, title = ("hires", "Hires") if enlarge else ("hires_people", "Hires before Outpainting")
    _over(build, flow, "EnsembleHires", key, title, **inputs, **_painter(build, flow))


def _add_paste_back(build: Build, flow: Flow) -> None:
    """Paste the pixels outside the mask from the input picture."""
    if not (
        flow.mask and flow.source and flow.image and build.options.output_size is OutputSize.INPUT
    ):
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
