"""Every HTTP route of the pack, in one place."""

from typing import TYPE_CHECKING

from .api.start import register_api
from .editor.compile import register_compile
from .editor.routes import register_editor

if TYPE_CHECKING:
    from server import PromptServer


def register(server: "PromptServer") -> None:
    """Add the routes to ComfyUI's own, before it serves."""
    register_compile(server.routes)
    register_editor(server.routes)
    register_api(server)
