"""Ensemble Portraits: several people in one picture, each with their own LoRA, pose and face."""

from comfy_api.latest import ComfyExtension, io

from .ensemble.lora.folders import register_model_folders

WEB_DIRECTORY = "./web"


class EnsembleExtension(ComfyExtension):
    async def on_load(self) -> None:
        from server import PromptServer

        from .ensemble.server.routes import register

        register_model_folders()
        register(PromptServer.instance)

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        from .nodes import NODES

        return NODES


async def comfy_entrypoint() -> EnsembleExtension:
    return EnsembleExtension()
