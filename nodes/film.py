"""The end of the chain: put the region back, grade the colours, add grain."""

from pathlib import Path

import folder_paths
from comfy import model_management
from comfy_api.latest import io, ui

from ..ensemble.film.choices import grade_from_widgets
from ..ensemble.film.grade import colour_grade
from ..ensemble.film.grain import GrainSettings, film_grain
from ..ensemble.film.looks import LOOKS
from ..ensemble.film.paste import paste_back
from ..ensemble.film.stocks import DEFAULT_STOCK, STOCKS
from ..ensemble.pictures import rgb
from .widgets import advanced, choice, decimal, optional, seed, share, whole

NO_CHOICE = "none"
SHOWN = 320  # pixels a side of the preview, about what a node shows unshrunk


def _luts() -> list[str]:
    names = folder_paths.get_filename_list("luts")
    return [NO_CHOICE, *(name for name in names if name.lower().endswith(".cube"))]


class FilmGrain(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="FilmGrain",
            display_name="Film Grain",
            category="Ensemble/finish",
            description="Grain of a film stock: none in black and white, strongest between.",
            search_aliases=["noise", "analog", "film look", "ISO", "texture"],
            inputs=[
                io.Image.Input("image", tooltip="Picture or frames of a film, graded already."),
                choice(
                    "stock",
                    STOCKS,
                    "Film whose grain to add. T-Max and Tri-X have no colour in it.",
                    default=DEFAULT_STOCK,
                ),
                decimal(
                    "strength",
                    1.0,
                    (0.0, 5.0),
                    "Factor on the stock's grain. 0 leaves the picture as it is.",
                    step=0.05,
                ),
                decimal(
                    "size",
                    1.0,
                    (0.1, 10.0),
                    "Factor on the size of the grain, measured on the film: the same look "
                    "at every resolution.",
                    step=0.05,
                ),
                decimal(
                    "chroma",
                    1.0,
                    (0.0, 2.0),
                    "Factor on the colour of the grain. 0 is silver; the amount of grain "
                    "stays the same.",
                    step=0.05,
                ),
                seed("Which grain. The same on every device."),
                *advanced(
                    whole(
                        "frame_offset",
                        0,
                        (0, 0x7FFFFFFF),
                        "Number of the first picture, for a film worked on in parts.",
                    )
                ),
            ],
            outputs=[io.Image.Output("IMAGE", tooltip="The picture with grain.")],
        )

    @classmethod
    def execute(cls, *, image, stock: str, frame_offset: int, **settings) -> io.NodeOutput:
        settings = GrainSettings(stock=STOCKS[stock], **settings)
        device = model_management.get_torch_device()
        grained = film_grain(image, settings, frame_offset, device)
        shown = ui.PreviewImage(_middle(grained), cls=cls) if len(grained) else None
        return io.NodeOutput(grained, ui=shown)


def _middle(image):
    """The middle of the first picture at 100 %, `[1,h,w,3]`: shrunk to a node's width grain is gone."""
    height, width = image.shape[1:3]
    top, left = max(0, (height - SHOWN) // 2), max(0, (width - SHOWN) // 2)
    part = image[:1, top : top + SHOWN, left : left + SHOWN].float().nan_to_num()
    return rgb(part)


def _slider(
    name: str, default: float, bounds: tuple[float, float], tooltip: str, step: float = 0.01
) -> io.Float.Input:
    slider = decimal(name, default, bounds, tooltip, step=step)
    slider.display_mode = io.NumberDisplay.slider
    return slider


def _wheel(name: str, tooltip: str) -> io.Color.Input:
    return io.Color.Input(name, default="#808080", tooltip=tooltip)


class EnsembleColorGrade(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="EnsembleColorGrade",
            display_name="Color Grade",
            category="Ensemble/finish",
            description="Light, contrast, colour, film looks and .cube tables, in float.",
            search_aliases=[
                "color correction",
                "color grading",
                "LUT",
                "Velvia",
                "Portra",
                "Ektar",
                "white balance",
                "exposure",
            ],
            inputs=[
                io.Image.Input("image", tooltip="Picture to grade."),
                choice(
                    "look",
                    [NO_CHOICE, *LOOKS],
                    "Film look, after all sliders. The curves are the pack's own.",
                ),
                _slider("exposure", 0.0, (-5.0, 5.0), "In stops.", step=0.05),
                _slider("contrast", 1.0, (0.0, 3.0), "Slope at the pivot. 1 changes nothing."),
                _slider("temperature", 0.0, (-100, 100), "Warmer to the right.", step=1),
                _slider("tint", 0.0, (-100, 100), "Green to magenta.", step=1),
                _slider("saturation", 1.0, (0.0, 3.0), "Of all colours. 0 is grey."),
                _slider("vibrance", 0.0, (-1.0, 1.0), "Of pale colours; spares skin."),
                _slider("lift", 0.0, (-0.5, 0.5), "Moves black, keeps white.", step=0.005),
                _slider("gamma", 1.0, (0.1, 4.0), "Bends the middle; above 1 is brighter."),
                _slider("gain", 1.0, (0.0, 4.0), "Moves white, keeps black."),
                choice("lut", _luts(), "A .cube file of models/luts, applied last."),
                *advanced(
                    _slider("look_strength", 1.0, (0.0, 1.0), "How much of the look."),
                    _slider("lut_strength", 1.0, (0.0, 1.0), "How much of the table."),
                    _slider(
                        "pivot", 0.435, (0.05, 0.95), "Grey that contrast leaves alone.", step=0.005
                    ),
                    _wheel("lift_color", "Colour of the shadows. Grey is neutral."),
                    _wheel("gamma_color", "Colour of the middle tones. Grey is neutral."),
                    _wheel("gain_color", "Colour of the lights. Grey is neutral."),
                ),
            ],
            outputs=[io.Image.Output("IMAGE", tooltip="The graded picture.")],
        )

    @classmethod
    def fingerprint_inputs(cls, lut=None, **_):
        """Changes when the table is edited; a linked name is None here."""
        path = None if lut in (None, NO_CHOICE) else folder_paths.get_full_path("luts", lut)
        return str(Path(path).stat().st_mtime_ns) if path else ""

    @classmethod
    def execute(cls, *, image, lut: str, **widgets) -> io.NodeOutput:
        path = None if lut == NO_CHOICE else folder_paths.get_full_path_or_raise("luts", lut)
        grade = grade_from_widgets(lut_path=path, **widgets)
        return io.NodeOutput(colour_grade(image, grade, model_management.get_torch_device()))


class EnsemblePasteBack(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="EnsemblePasteBack",
            display_name="Paste Back",
            category="Ensemble/finish",
            description="Keeps the original picture bit for bit outside the mask and its feather.",
            search_aliases=["stitch", "composite", "inpaint paste", "restore original", "uncrop"],
            inputs=[
                io.Image.Input("image", tooltip="Repainted picture, at any size."),
                *optional(
                    io.Image.Input(
                        "original",
                        tooltip="Picture to keep. The result has its size. It may stay unlinked where "
                        "this node does not run, behind a switch that is off.",
                    ),
                    io.Mask.Input(
                        "mask",
                        tooltip="White is taken from the repainted picture. It may stay unlinked as original may.",
                    ),
                ),
                whole(
                    "feather",
                    16,
                    (0, 512),
                    "Width of the soft edge around white, in pixels of the original.",
                ),
                share(
                    "match_colour",
                    1.0,
                    "How far the repainted part takes on the original's colours, measured where "
                    "both show the same.",
                    step=0.05,
                ),
            ],
            outputs=[io.Image.Output("IMAGE", tooltip="The original with the repainted part in.")],
        )

    @classmethod
    def execute(cls, *, image, original=None, mask=None, **edge) -> io.NodeOutput:
        if original is None or mask is None:
            raise ValueError("Link original and mask, or switch this stage off.")
        return io.NodeOutput(paste_back(image, original, mask, **edge))


NODES = [FilmGrain, EnsembleColorGrade, EnsemblePasteBack]
