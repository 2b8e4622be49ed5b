"""Third stage: pictures that come in, the pose, the mask, and the latent that is sampled."""

import base64
import binascii
import hashlib
import re
from typing import Any
from urllib.parse import unquote

from .build import Build, Flow, OutputSize
from .defaults import (
    asked_controls,
    is_image_to_image,
    is_lora_multi_text,
    keeps_background,
    only_the_input,
)
from .definitions import inputs_of
from .graph import Link
from .library import Missing
from .recipe import Service

_DATA = re.compile(r"data:image/(png|jpeg|webp);base64,", re.IGNORECASE)


def add_source(build: Build, flow: Flow) -> None:
    """The input picture on `flow.original`, and at working size on `flow.source` where pixels of it
    are needed: a pose is read from the original."""
    recipe = build.recipe
    if not recipe.input_image or is_lora_multi_text(recipe):
        return
    setting = "init_image" if recipe.service is Service.LORA_MULTI else "input_image"
    name = input_file(build, recipe.input_image, setting)
    if name is None:
        return
    flow.original = build.graph.add("LoadImage", "input", "Input Picture", image=name)[0]
    only_pose = all(control.startswith("pose") for control in asked_controls(build.recipe))
    painted = is_image_to_image(recipe) or only_the_input(recipe)
    if painted or recipe.mask_prompt or not only_pose:
        flow.source = _working_size(build, flow.original)


def _working_size(build: Build, picture: Link) -> Link:
    width, height = build.recipe.width or 0, build.recipe.height or 0
    if width or height:
        picture = build.graph.add(
            "ImageScale",
            "working_size",
            "Working Size",
            image=picture,
            upscale_method="lanczos",
            width=width,
            height=height,
            crop="center" if width and height else "disabled",
        )[0]
    elif build.recipe.service is Service.ASTRIA:
        title = f"Scale shorter dimension {build.short_side}"
        way = {
            "resize_type": "scale shorter dimension",
            "resize_type.shorter_size": build.short_side,
        }
        picture = _resize(build, picture, "working_size", title, way)
    if width and height:
        return picture
    way = {"resize_type": "scale to multiple", "resize_type.multiple": 8}
    return _resize(build, picture, "multiple_of_8", "Scale to multiple 8", way)


def _resize(
    build: Build, picture: Link, key: str, title: str, way: dict[str, Any], method: str = "lanczos"
) -> Link:
    """A picture or a mask, made larger or smaller by core's node."""
    inputs = {"input": picture, **way, "scale_method": method}
    return build.graph.add("ResizeImageMaskNode", key, title, **inputs)[0]


def last_part(address: str) -> str:
    """The name that a picture has at the end of its address."""
    return unquote(re.split(r"[?#]", address)[0].rstrip("/").rpartition("/")[2])


def input_file(build: Build, picture: str, setting: str) -> str | None:
    """The name of a picture in the input folder; a URL's last part is looked up there."""
    data = _DATA.match(picture)
    if data:
        return _upload(build, picture[data.end() :], data[1].lower(), setting)
    if picture.startswith(("http://", "https://")):
        name = last_part(picture)
        build.notes.append(f"{setting}: {picture} is not fetched; {name!r} is looked up here")
        picture = name
    file = build.find("images", picture, setting)
    copy = build.library.readable(file) if file else None
    return _put(build, copy, "png") if copy else file


def _upload(build: Build, encoded: str, extension: str, setting: str) -> str | None:
    try:
        content = base64.b64decode(encoded, validate=True)
    except binascii.Error as error:
        build.refuse(setting, f"its data URL is not base64: {error}")
        return None
    return _put(build, content, extension)


def _put(build: Build, content: bytes, extension: str) -> str:
    name = f"recipe_{hashlib.sha256(content).hexdigest()[:16]}.{extension}"
    build.uploads[name] = content
    return name


def add_pose(build: Build, flow: Flow) -> tuple[Link | None, Link | None]:
    """Pose map and regions, where the recipe asks for pose control or for people to be replaced."""
    recipe = build.recipe
    people = recipe.people
    wanted = any(name.startswith("pose") for name in asked_controls(build.recipe))
    if not (wanted or keeps_background(recipe)):
        return None, None
    node = build.graph.add(
        "PoseControlInput",
        "pose",
        "Pose",
        image=flow.original,
        people=people or int(flow.original is None),
        width=recipe.width,
        height=recipe.height,
        on_mismatch=_on_mismatch(build, flow),
        on_nobody=recipe.on_nobody,
        estimator=_estimator(build),
    )
    return node[0], node[2] if people else None


def _on_mismatch(build: Build, flow: Flow) -> str | None:
    way = build.recipe.on_mismatch
    if way is None and build.recipe.people and flow.original:
        way = build.options.on_mismatch
        if way == "largest":
            build.notes.append(
                "on_mismatch: largest: where the picture shows more people than the prompt has, the "
                "largest bodies are taken; where it shows fewer, the last persons are not painted. "
                "--on_mismatch chooses another way"
            )
    return way


def _estimator(build: Build) -> str | None:
    """The estimator asked for, if this machine has it."""
    name = build.recipe.estimator or build.options.estimator
    inputs = inputs_of({}, build.library.nodes["PoseControlInput"])
    known = next(each.choices for each in inputs if each.name == "estimator")
    if name is None or name in known:
        return name
    hint = f"{name!r} is not here; there are {', '.join(map(str, known))}, or put it into models/pose_estimation"
    build.missing.append(Missing("estimator", "pose_estimation", name, hint))
    return None


def add_mask(build: Build, flow: Flow, regions: Link | None) -> None:
    """What will be repainted: a mask file, mask words, or the people of mode 3."""
    recipe = build.recipe
    if recipe.mask_image:
        if recipe.mask_prompt:
            build.notes.append("mask_image and --mask_prompt: the file wins, the words do nothing")
        name = input_file(build, recipe.mask_image, "mask_image")
        if not recipe.input_image:
            build.refuse("mask_image", "needs an input picture")
        elif name and flow.source:
            flow.mask = _mask_of(build, name, flow.source)
    elif recipe.mask_prompt and flow.source:
        flow.mask = build.graph.add(
            "MaskFromPrompt",
            "mask",
            "Mask from Prompt",
            image=flow.source,
            words=recipe.mask_prompt,
            negative=recipe.mask_negative or "",
            invert=bool(recipe.mask_invert),
            dilate=recipe.mask_dilate or "0",
        )[0]
    elif recipe.mask_prompt and not recipe.input_image:
        build.refuse("--mask_prompt", "needs an input picture")
    elif keeps_background(recipe) and regions:
        flow.mask = _union(build, regions, recipe.people)


def _mask_of(build: Build, name: str, source: Link) -> Link:
    """A mask file, cut as the picture it belongs to was cut to its working size."""
    title = "Mask (white is repainted)"
    mask = build.graph.add("LoadImageMask", "mask", title, image=name, channel="red")[0]
    way = {"resize_type": "match size", "resize_type.match": source, "resize_type.crop": "center"}
    return _resize(build, mask, "mask_size", "Mask at Working Size", way, "bilinear")


def _union(build: Build, regions: Link, people: int) -> Link:
    masks = [region_of(build, regions, index) for index in range(people)]
    union = masks[0]
    for index, mask in enumerate(masks[1:], 2):
        union = build.graph.add(
            "MaskComposite",
            f"people_1_to_{index}",
            f"People 1 to {index}",
            destination=union,
            source=mask,
            operation="add",
        )[0]
    return union


def region_of(build: Build, regions: Link, index: int) -> Link:
    """One person's mask out of the batch, through a picture: core picks only from pictures."""
    graph, key = build.graph, f"person_{index + 1}"
    if "regions_as_images" not in graph.nodes:
        graph.add("MaskToImage", "regions_as_images", "Regions", mask=regions)
    one = graph.add(
        "ImageFromBatch",
        f"{key}_region",
        f"Region of Person {index + 1}",
        image=Link("regions_as_images", 0),
        batch_index=index,
        length=1,
    )
    title = f"Mask of Person {index + 1}"
    return graph.add("ImageToMask", f"{key}_mask", title, image=one[0], channel="red")[0]


def add_latent(build: Build, flow: Flow, pose_size: tuple[Link, Link] | None) -> Link:
    """The latent batch that sampling starts from; masked where there is a mask."""
    recipe, graph = build.recipe, build.graph
    count = recipe.pictures or 1
    if flow.source is None or not is_image_to_image(recipe):
        if flow.mask and build.options.output_size is OutputSize.RECIPE:
            build.notes.append("mask: sampling starts from noise, so nothing is kept")
        width, height = recipe.width, recipe.height
        if not (width and height):
            width, height = pose_size or (build.short_side, build.short_side)
        size = {"width": width, "height": height}
        latent = build.model.family.latent if build.model.family else "EmptyLatentImage"
        return graph.add(latent, "canvas", "Canvas", **size, batch_size=count)[0]
    if flow.mask:
        # Serves inpainting checkpoints too; others ignore the masked picture it adds.
        masked = graph.add(
            "InpaintModelConditioning",
            "repaint",
            "Repaint Inside the Mask",
            **flow.conditioning,
            vae=flow.vae,
            pixels=flow.source,
            mask=flow.mask,
            noise_mask=True,
        )
        flow.positive, flow.negative, latent = masked[0], masked[1], masked[2]
        soft = graph.add("DifferentialDiffusion", "soft_mask", "Soft Mask", model=flow.model)
        flow.model = soft[0]
    else:
        latent = graph.add("VAEEncode", "encode", "Encode", pixels=flow.source, vae=flow.vae)[0]
    if count == 1:
        return latent
    return graph.add("RepeatLatentBatch", "batch", "Batch", samples=latent, amount=count)[0]
