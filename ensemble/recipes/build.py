"""What every stage of the compiler works with."""

from dataclasses import dataclass, field
from enum import Enum

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
    """Choices that are the user's machine's, not the recipe's.

    `seed` stands in for a seed the recipe leaves open. `skip_missing` leaves out what the machine
    lacks, and the report says what; `checkpoint` is for recipes that name none.
    """

    seed: int = 0
    checkpoint: str | None = None
    allow_approximate: bool = False
    output_size: OutputSize = OutputSize.RECIPE
    skip_missing: bool = False
    prefix: str = "ensemble"


@dataclass
class Flow:
    """Where the picture has got to: the links the next stage takes."""

    model: Link
    clip: Link
    vae: Link
    positive: Link | None = None
    negative: Link | None = None
    people: Link | None = None
    regions: Link | None = None
    original: Link | None = None
    source: Link | None = None
    mask: Link | None = None
    image: Link | None = None


@dataclass
class Build:
    """The graph so far, and what there is to say about it."""

    recipe: Recipe
    library: Library
    options: Options
    graph: Graph = field(default_factory=Graph)
    missing: list[Missing] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    files: list[tuple[str, str, str]] = field(default_factory=list)
    refused: list[Problem] = field(default_factory=list)
    uploads: dict[str, bytes] = field(default_factory=dict)

    def refuse(self, setting: str, message: str) -> None:
        """Note something that cannot be built whatever is installed."""
        self.refused.append(Problem(Severity.ERROR, setting, message))

    def find(self, folder: str, name: str, setting: str) -> str | None:
        """The file `name` means, noted for the report; None after noting that it is missing."""
        try:
            file = self.library.find(name, folder)
        except ValueError as error:
            self.missing.append(Missing(setting, folder, name, str(error)))
            return None
        self.files.append((folder, name, file))
        return file

    def first(self, folder: str, setting: str, hint: str, *words: str) -> str | None:
        """The first file of a folder, or of those with one of `words` in its name; or None, noted."""
        for file in self.library.files.get(folder, ()):
            if not words or any(word in file.lower() for word in words):
                self.files.append((folder, setting, file))
                return file
        self.missing.append(Missing(setting, folder, "", hint))
        return None

    def has_node(self, node: str, setting: str) -> bool:
        """Whether a node is registered; noted as missing where it is not."""
        if node in self.library.nodes:
            return True
        hint = f"the node {node} is not installed; update Ensemble Portraits, or leave this off"
        self.missing.append(Missing(setting, "nodes", node, hint))
        return False
