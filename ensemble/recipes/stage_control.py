"""ControlNets over the conditioning: which file, and what makes its map."""

import re
from dataclasses import dataclass

from .build import Build, Flow
from .defaults import asked_controls
from .families import UNION_KINDS
from .graph import Link
from .library import Missing

PATCHES = "model_patches"


@dataclass(frozen=True)
class Control:
    """One of the service's kinds."""

    # What a ControlNet file's name says it is for.
    word: str
    # Nodes, core's or an installed pack's, that make the map from a picture; the first that is there.
    # None: the picture itself, or the pose, is the map.
    nodes: tuple[str, ...] | None = None
    # Why there is none.
    refused: str = ""


_DEPTH_ANYTHING_3 = re.compile(r"(?<![a-z])(da|depth[-_ ]?anything)[-_ ]?v?3(?!\d)")
_AUX = "comfyui_controlnet_aux"
_POSE = Control("openpose")
# fmt: off
CONTROLS = {
    **dict.fromkeys(("pose", "pose_with_hand", "pose_with_face", "pose_face_and_hand"), _POSE),
    "tile": Control("tile"),
    "qr": Control("qr"),
    "canny": Control("canny", ("Canny",)),
    "depth": Control("depth", ("DA3Render", "DepthAnythingV2Preprocessor", "MiDaS-DepthMapPreprocessor")),
    "lineart": Control("lineart", ("LineArtPreprocessor",)),
    "hed": Control("hed", ("HEDPreprocessor",)),
    "mlsd": Control("mlsd", ("M-LSDPreprocessor",)),
    "segroom": Control("seg", ("OneFormer-ADE20K-SemSegPreprocessor",)),
    "reference": Control("", refused="it is no ControlNet but a change of attention that core does not have; "
        "give the picture as input_image instead"),
    **dict.fromkeys(("composition", "ipadapter", "relight"),
        Control("", refused="it is the service's own, and has no counterpart in core ComfyUI")),
}
# fmt: on


def add_control(build: Build, flow: Flow, pose: Link | None) -> None:
    """ControlNets over the conditioning or the model, in the order they were named."""
    recipe, family = build.recipe, build.model.family
    names = asked_controls(recipe)
    weights = recipe.controlnet_weights or (recipe.controlnet_scale,)
    maps: dict[str, Link | None] = {}
    for index, name in enumerate(names):
        if not _is_there(build, name, pose):
            continue
        control = CONTROLS[name]
        if name not in maps:
            maps[name] = pose if control is _POSE else _map(build, flow, name, control)
        picture = maps[name]
        file = _file(build, control)
        if picture is None or file is None:
            continue
        tail = f"_{index + 1}" if len(names) > 1 else ""
        strength = weights[min(index, len(weights) - 1)]
        if family and family.union and family.union.folder == PATCHES:
            _patch_model(build, flow, name, tail, file, picture, strength)
        else:
            _apply(build, flow, name, tail, file, picture, strength)


def _is_there(build: Build, name: str, pose: Link | None) -> bool:
    """Whether such a ControlNet can be had for this model at all; else refused or told."""
    control, family = CONTROLS.get(name), build.model.family
    held = " The pose says where people stand, and no more." if pose else ""
    if control is None or control.refused:
        why = control.refused if control else f"known are {', '.join(CONTROLS)}"
        build.refuse("controlnet", f"{name} cannot be had: {why}")
    elif family and family.union is None:
        build.notes.append(
            f"controlnet {name}: {family.name} takes no ControlNet of Stable Diffusion, and core has "
            f"none for it, so none is applied.{held}"
        )
    elif family and control.word not in UNION_KINDS:
        build.notes.append(
            f"controlnet {name}: {family.name}'s union ControlNet is for {', '.join(UNION_KINDS)}, so "
            f"none is applied.{held}"
        )
    else:
        return True
    return False


def _file(build: Build, control: Control) -> str | None:
    """The ControlNet's file, of the kind or the union of the model's family; None after noting that
    there is none."""
    union = build.model.family.union if build.model.family else None
    if union is None:
        hint = f"put an SD1.5 ControlNet with {control.word!r} in its name into models/controlnet"
        return build.first("controlnet", "controlnet", hint, control.word)
    for file in build.library.files.get(union.folder, ()):
        if re.search(union.word, file.lower()):
            return build.use(union.folder, "controlnet", file)
    name = build.model.family.name if build.model.family else ""
    hint = (
        f"{name} follows a map by its union ControlNet: put {union.file} into models/{union.folder}"
    )
    build.missing.append(Missing("controlnet", union.folder, union.file, hint))
    return None


def _apply(
    build: Build, flow: Flow, name: str, tail: str, file: str, picture: Link, strength: float | None
) -> None:
    net = build.graph.add(
        "ControlNetLoader", f"controlnet{tail}", f"ControlNet {name}", control_net_name=file
    )
    applied = build.graph.add(
        "ControlNetApplyAdvanced",
        f"control{tail}",
        f"Apply {name}",
        **flow.conditioning,
        control_net=net[0],
        image=picture,
        strength=strength,
        end_percent=build.recipe.guidance_end,
        vae=flow.vae,
    )
    flow.positive, flow.negative = applied[0], applied[1]


def _patch_model(
    build: Build, flow: Flow, name: str, tail: str, file: str, picture: Link, strength: float | None
) -> None:
    """Z-Image's, which core applies to the model."""
    end = build.recipe.guidance_end
    if end is not None and end < 1:
        build.notes.append(f"control_guidance_end: {file} acts in every step, so {end:g} is 1 here")
    net = build.graph.add("ModelPatchLoader", f"controlnet{tail}", f"ControlNet {name}", name=file)
    flow.model = build.graph.add(
        "ZImageFunControlnet",
        f"control{tail}",
        f"Apply {name}",
        model=flow.model,
        model_patch=net[0],
        vae=flow.vae,
        strength=strength,
        image=picture,
    )[0]


def _map(build: Build, flow: Flow, name: str, control: Control) -> Link | None:
    if flow.source is None:
        if not build.recipe.input_image:
            build.refuse("controlnet", f"{name} needs an input picture")
        return None
    if control.nodes is None:
        return flow.source
    for node in control.nodes:
        if node == "DA3Render":
            if depth := _depth(build, flow.source):
                return depth
        elif build.library.has(node):
            return build.graph.add(node, name, name.title(), image=flow.source)[0]
    hint = "put Depth Anything 3 into models/geometry_estimation, or " if name == "depth" else ""
    build.refuse(
        "controlnet",
        f"{name} needs a preprocessor that is not here: {hint}install {control.nodes[-1]} of {_AUX}",
    )
    return None


def _depth(build: Build, picture: Link) -> Link | None:
    """Core's Depth Anything 3, if a model of it is here."""
    # The folder is also that of models which LoadDA3Model cannot read.
    models = [
        file
        for file in build.library.files.get("geometry_estimation", ())
        if _DEPTH_ANYTHING_3.search(file.lower())
    ]
    if not models or not build.library.has("DA3Render"):
        return None
    file = build.use("geometry_estimation", "controlnet", models[0])
    graph = build.graph
    model = graph.add("LoadDA3Model", "depth_model", "Depth Anything 3", model_name=file)
    seen = graph.add(
        "DA3Inference", "depth", "Depth", da3_model=model[0], image=picture, mode="mono"
    )
    return graph.add("DA3Render", "depth_map", "Depth Map", da3_geometry=seen[0], output="depth")[0]
