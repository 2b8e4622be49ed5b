"""Lines for the person at the screen that come up only while a sampler runs."""

from __future__ import annotations

import logging
from collections.abc import Callable

log = logging.getLogger(__name__)


def teller() -> Callable[[str], None]:
    """Writes a line into the log and onto the node that executes now, whenever it is called."""
    from comfy_execution.utils import get_executing_context

    context = get_executing_context()

    def tell(line: str) -> None:
        log.warning("BreakRegionalPrompt: %s", line)
        server = _server()
        if context is not None and server is not None:
            server.send_progress_text(line, context.node_id)

    return tell


def _server():
    """None outside a running ComfyUI."""
    from server import PromptServer

    return getattr(PromptServer, "instance", None)
