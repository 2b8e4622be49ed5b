"""The regions that a run of Break Regional Prompt ended with, for what comes behind the sampler."""

from comfy_api.latest import io

from .types import People


class EnsembleFollowedRegions(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="EnsembleFollowedRegions",
            display_name="Followed Regions",
            category="Ensemble",
            description="Hands on the regions to which Break Regional Prompt's follow drew everybody in "
            "while a latent was painted, to Hires Fix, Face Inpaint and masks.",
            search_aliases=["follow", "silhouettes", "refined regions", "masks of people", "regions"],
            inputs=[
                People.Input(
                    "people", tooltip="Of the Break Regional Prompt whose model painted; its follow is on."
                ),
                io.Latent.Input(
                    "samples",
                    tooltip="What the sampler gave for it, as it is. Regions of another run are never "
                    "handed on.",
                ),
            ],
            outputs=[
                People.Output(
                    "people", display_name="people", tooltip="The same people in the followed regions."
                ),
                io.Mask.Output(
                    "regions", display_name="regions", tooltip="Each person's place, in prompt order."
                ),
            ],
        )  # fmt: skip

    @classmethod
    def execute(cls, *, people, samples) -> io.NodeOutput:
        from ..ensemble.regional.follow import NotFollowedError

        if people.follower is None:
            raise NotFollowedError(
                "'people' come from a Break Regional Prompt whose follow is 0, so that their regions are as "
                "given. Set follow above 0 there, or leave this node out."
            )
        regions, line = people.follower.regions_of(samples["samples"])
        return io.NodeOutput(
            people.with_masks(regions), regions, ui={"text": [line] if line else []}
        )


NODES: list = [EnsembleFollowedRegions]
