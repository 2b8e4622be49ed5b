"""What every stage of the compiler works with."""

from dataclasses import dataclass, field
from enum import Enum

from .choose_model import Model
from .graph import Graph, Link
from .library import Library, Missing
from .problems import Problem, Severity
from .recipe import Recipe


class OutputSize(Enum):
    """`recipe`: the service's way, the whole frame. `input`: pasted back into the input picture."""

    RECIPE = "recipe"
    INPUT = "input"


@dataclass(frozen=True)
class Options:
    """Choices that depend on the user's machine and not on the recipe."""

    # Stands in for a seed that the recipe leaves open.
    seed: int = 0
    # For recipes that name none.
    checkpoint: str | None = None
    allow_approximate: bool = False
    output_size: OutputSize = OutputSize.RECIPE
    # Taken where the recipe does not say; None leaves PoseControlInput's own default.
    on_mismatch: str | None = None
    estimator: str | None = None
    # Whether to leave out what the machine lacks; the report says what.
    skip_missing: bool = False
    # Of the saved pictures' names.
    prefix: str = "ensemble"


@dataclass
class Flow:
    """The links that the next stage takes."""

    model: Link
    clip: Link
    vae: Link
    positive: Link | None = None
    negative: Link | None = None
    people: Link | None = None
    regions: Link | None = None
    # The input picture, and the same at working size.
    original: Link | None = None
    source: Link | None = None
    mask: Link | None = None
    image: Link | None = None

    @property
    def conditioning(self) -> dict[str, Link | None]:
        """Positive and negative as inputs of a node."""
        return {"positive": self.positive, "negative": self.negative}


@dataclass
class Build:
    """The graph so far, and what there is to say about it."""

    recipe: Recipe
    library: Library
    options: Options
    model: Model
    graph: Graph = field(default_factory=Graph)
    missing: list[Missing] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    # `folder`, `name` and `file` of each file that is used.
    files: list[dict[str, str]] = field(default_factory=list)
    refused: list[Problem] = field(default_factory=list)
    # File name -> picture, to be put into the input folder before the graph is queued.
    uploads: dict[str, bytes] = field(default_factory=dict)

    @property
    def short_side(self) -> int:
        """Pixels to which an input picture's shorter side is brought."""
        return self.model.family.side if self.model.family else 512

    @property
    def allow_approximate(self) -> bool:
        """Whether the recipe or who runs it is content with a scheduler near the one named."""
        return self.options.allow_approximate or bool(self.recipe.allow_approximate)

    def refuse(self, setting: str, message: str) -> None:
        """Note something that cannot be built whatever is installed."""
        self.refused.append(Problem(Severity.ERROR, setting, message))

    def use(self, folder: str, name: str, file: str) -> str:
        """The file, noted for the report."""
        self.files.append({"folder": folder, "name": name, "file": file})
        return file

    def find(self, folder: str, name: str, setting: str) -> str | None:
        """The file `name` means, noted for the report; None after noting that it is missing."""
        try:
            file = self.library.find(name, folder)
        except ValueError as error:
            near = getattr(error, "nearest", ())  # of a name that is unknown or ambiguous
            self.missing.append(Missing(setting, folder, name, str(error), near))
            return None
        return self.use(folder, name, file)

    def first(self, folder: str, setting: str, hint: str, *words: str) -> str | None:
        """The first file of a folder, or of those with one of `words` in its name; or None, noted."""
        for file in self.library.files.get(folder, ()):
            if not words or any(word in file.lower() for word in words):
                return self.use(folder, setting, file)
        self.missing.append(Missing(setting, folder, "", hint))
        return None
