"""Every HTTP route of the pack, in one place."""

from typing import TYPE_CHECKING

from .api import register_api
from .compile import register_compile
from .editor import register_editor

if TYPE_CHECKING:
    from server import PromptServer


def register(server: "PromptServer") -> None:
    """Add the routes to ComfyUI's own, before it serves."""
    register_compile(server.routes)
    register_editor(server.routes)
    register_api(server)
