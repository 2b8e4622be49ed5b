"""Every HTTP route of the pack, in one place."""

import os
from typing import TYPE_CHECKING

from .access import EDITOR_FEATURE, gate_of
from .api.start import register_api
from .editor.compile import register_compile
from .editor.routes import register_editor

if TYPE_CHECKING:
    from server import PromptServer


def register(server: "PromptServer") -> None:
    """Add the routes to ComfyUI's own, before it serves."""
    from comfy_api.feature_flags import SERVER_FEATURE_FLAGS

    gate = gate_of(os.environ, local=register_api(server))
    SERVER_FEATURE_FLAGS[EDITOR_FEATURE] = gate.editor
    register_compile(server.routes, gate)
    register_editor(server.routes, gate)
