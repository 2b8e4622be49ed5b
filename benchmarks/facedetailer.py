"""The FaceDetailer of ComfyUI-Impact-Pack, from a folder named on the command line, without a server.

Only what redraws a given face is used (`DetailerForEach.do_detail`); packages it imports for other
things, and that are not installed, are stood in for by empty modules.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import types
from pathlib import Path
from typing import Any

_UNUSED = ("segment_anything", "piexif", "dill", "matplotlib", "git")


class _Empty(types.ModuleType):
    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {})


def load(folder: Path) -> Any:
    """Its module `impact.impact_pack`. ValueError where the folder is not the pack's."""
    modules = folder / "modules"
    if not (modules / "impact" / "impact_pack.py").is_file():
        raise ValueError(f"{folder} is not ComfyUI-Impact-Pack: no modules/impact/impact_pack.py")
    for name in _UNUSED:
        if importlib.util.find_spec(name) is None:
            sys.modules[name] = _Empty(name)
    _stand_in_for_the_server()
    sys.path.insert(0, str(modules))
    importlib.import_module("impact.impact_server")  # the two import each other, in this order
    return importlib.import_module("impact.impact_pack")


def _stand_in_for_the_server() -> None:
    import server
    from aiohttp import web

    if getattr(server.PromptServer, "instance", None) is None:
        server.PromptServer.instance = types.SimpleNamespace(  # type: ignore[assignment]
            routes=web.RouteTableDef(),
            client_id=None,
            send_sync=lambda *_, **__: None,
            add_on_prompt_handler=lambda _: None,
        )


def detail(pack: Any, crop, mask, model, vae, texts: tuple[list, list], settings: Any):
    """One face as FaceDetailer redraws it: crop `[1,S,S,3]`, mask `[S,S]`; the new crop."""
    side = crop.shape[1]
    quarter = side // 4
    box = (quarter, quarter, side - quarter, side - quarter)
    seg = pack.SEG(None, mask.numpy(), 1.0, (0, 0, side, side), box, "face", None)
    return pack.DetailerForEach.do_detail(
        crop, ((side, side), [seg]), model, None, vae, side, False, side, settings.seed,
        settings.steps, settings.cfg, settings.sampler, settings.scheduler, *texts,
        settings.denoise, 5, True, True,
    )[0]  # fmt: skip
