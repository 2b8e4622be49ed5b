"""The trained dolls, unfolded from the weights in dolls/weights: pictures that one can look at."""

from pathlib import Path


def paper_dolls(folder: Path) -> None:
    """Checkpoint, ControlNet and LoRAs of the paper dolls, as far as they are trained."""
    from dolls.export import export
    from dolls.weights import SHIPPED

    export(SHIPPED, folder)


MAKERS = [paper_dolls]
