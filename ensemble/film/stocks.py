"""Film stocks as grain: how large, how soft, how coloured.

The figures were set by eye at 1024 and 4096 px. The names say what a preset was modelled on,
nothing more.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Stock:
    """Grain on the film itself, so that it means the same at every picture size."""

    # Long edge of the negative.
    frame_mm: float
    # Radius of the model's discs, which sets the amplitude.
    radius_um: float
    # Sigma of what emulsion and lens spread, which sets how coarse it looks.
    blur_um: float
    # 0: one silver layer; 1: three independent dye layers.
    chroma: float
    # Relative radius of the red, green and blue layer.
    layers: tuple[float, float, float] = (1.0, 0.92, 1.22)


_SILVER = (1.0, 1.0, 1.0)

STOCKS: dict[str, Stock] = {
    "Ektar 100": Stock(36.0, 0.55, 9.0, 0.40),
    "Portra 400": Stock(36.0, 0.85, 12.0, 0.40),
    "Portra 800": Stock(36.0, 1.20, 14.0, 0.45),
    "Velvia 50": Stock(36.0, 0.65, 9.0, 0.35),
    "Superia 1600": Stock(36.0, 1.90, 16.0, 0.50),
    "T-Max 100": Stock(36.0, 0.75, 9.0, 0.0, _SILVER),
    "Tri-X 400": Stock(36.0, 1.55, 14.0, 0.0, _SILVER),
    "T-Max 3200": Stock(36.0, 2.40, 17.0, 0.0, _SILVER),
    "Portra 400, 6x7": Stock(70.0, 0.85, 12.0, 0.40),
    "Super 16, 500T": Stock(12.5, 0.90, 11.0, 0.40),
    "Super 8, 500T": Stock(5.8, 1.10, 10.0, 0.22),
}
DEFAULT_STOCK = "Portra 400"
