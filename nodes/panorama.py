"""Seamless wide pictures."""

from comfy_api.latest import io

from ..ensemble.sampling.panorama import panorama_model, panorama_vae


class EnsemblePanorama(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="EnsemblePanorama",
            display_name="Panorama",
            category="Ensemble/sampling",
            description="Makes pictures whose right edge continues at their left edge.",
            search_aliases=["seamless", "tileable", "circular padding", "360", "wrap around"],
            inputs=[
                io.Model.Input("model", tooltip="Model to sample with. It is not changed."),
                io.Vae.Input("vae", tooltip="VAE to decode with. It is not changed."),
            ],
            outputs=[
                io.Model.Output("MODEL", tooltip="The model, wrapping around in x."),
                io.Vae.Output("VAE", tooltip="The VAE, wrapping around in x."),
            ],
        )

    @classmethod
    def execute(cls, model: io.Model.Type, vae: io.Vae.Type) -> io.NodeOutput:
        return io.NodeOutput(panorama_model(model), panorama_vae(vae))


NODES = [EnsemblePanorama]
