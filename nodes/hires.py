"""Hires fix: more pixels, then a light repaint of them."""

from comfy_api.latest import io

from .sampling import NO_PAINTER, SamplingSettings, painter_of, without_people
from .sampling import sampling as sampling_inputs
from .types import People


class EnsembleHires(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="EnsembleHires",
            display_name="Hires Fix",
            category="Ensemble/finish",
            description="Enlarges a picture and repaints it lightly, tile by tile where it is "
            "larger than the model likes.",
            search_aliases=[
                "hires fix",
                "upscale",
                "super resolution",
                "tiled",
                "ultimate upscale",
            ],
            inputs=[
                io.Image.Input("image", tooltip="Picture to enlarge."),
                io.Vae.Input("vae", tooltip="VAE of the model."),
                People.Input(
                    "people",
                    optional=True,
                    tooltip="People of BREAK Regional Prompt: each tile gets those who stand there, "
                    "with their text and LoRA. Wins over model.",
                ),
                *without_people(),
                io.UpscaleModel.Input(
                    "upscale_model", optional=True, tooltip="Enlarges first. Without: Lanczos."
                ),
                io.Float.Input(
                    "factor",
                    default=2.0,
                    min=0.25,
                    max=8.0,
                    step=0.05,
                    tooltip="How many times as wide and high. width and height win over it.",
                ),
                io.Int.Input(
                    "width",
                    default=0,
                    min=0,
                    max=16384,
                    advanced=True,
                    tooltip="Width of the result in pixels. 0: by factor, or by height.",
                ),
                io.Int.Input(
                    "height",
                    default=0,
                    min=0,
                    max=16384,
                    advanced=True,
                    tooltip="Height of the result in pixels. 0: by factor, or by width.",
                ),
                io.Float.Input(
                    "denoise",
                    default=0.4,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip="How much is repainted. 0 only enlarges.",
                ),
                *sampling_inputs(
                    "One noise for the whole picture; every tile takes its part of it."
                ),
                io.Int.Input(
                    "tile",
                    default=1024,
                    min=0,
                    max=8192,
                    step=64,
                    tooltip="Side of a tile in pixels: what the model was trained on or a bit more. "
                    "0 paints the whole picture at once.",
                ),
                io.Int.Input(
                    "overlap",
                    default=128,
                    min=0,
                    max=1024,
                    step=8,
                    advanced=True,
                    tooltip="Pixels that neighbouring tiles share, at most half a tile.",
                ),
            ],
            outputs=[io.Image.Output("IMAGE", tooltip="The enlarged picture.")],
        )

    @classmethod
    def execute(
        cls, *, image, vae, factor: float, width: int, height: int, denoise: float, seed: int,
        steps: int, cfg: float, sampler: str, scheduler: str, tile: int, overlap: int, people=None,
        model=None, positive=None, negative=None, upscale_model=None,
    ) -> io.NodeOutput:  # fmt: skip
        from ..ensemble.regional.crops import from_model, from_people
        from ..ensemble.regional.hires import HiresSettings, hires

        sampling = SamplingSettings(
            seed=seed, steps=steps, cfg=cfg, sampler=sampler, scheduler=scheduler, denoise=denoise
        )
        settings = HiresSettings(
            sampling=sampling,
            factor=factor, width=width, height=height, tile=tile, overlap=overlap,
        )  # fmt: skip
        # Enlarging alone paints nothing.
        painters = None
        if denoise > 0:
            painters = painter_of(
                people, model, positive, negative, from_people=from_people, from_model=from_model
            )
            if painters is None:
                raise ValueError(NO_PAINTER)
        return io.NodeOutput(hires(image, vae, painters, upscale_model, settings))


NODES = [EnsembleHires]
