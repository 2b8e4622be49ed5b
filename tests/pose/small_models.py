"""Small random models of the estimators' own classes, in the folders their users have."""

from dev.models.pose import make_rtdetr as rtdetr
from dev.models.pose import make_vitpose as vitpose
from dev.models.pose import randomise

__all__ = ["openpose", "rtdetr", "sdpose", "vitpose"]


def openpose(library, file) -> None:
    """The 209 MB that controlnet_aux reads, random; `library` is its `open_pose`."""
    import torch

    generator = torch.Generator().manual_seed(1)
    state = {}
    for name, value in library.model.bodypose_model().state_dict().items():
        spread = (2 / value[0].numel()) ** 0.5 if value.ndim > 1 else 0.05
        state[name.split(".", 1)[1]] = torch.randn(value.shape, generator=generator) * spread
    file.parent.mkdir(exist_ok=True)
    torch.save(state, file)


def sdpose():
    """Core's SDPose MODEL and a VAE: an SD2-shaped UNet of two levels with its heatmap head."""
    import comfy.ops
    import comfy.sd
    from comfy.ldm.modules.diffusionmodules.openaimodel import UNetModel
    from comfy.taesd.taesd import TAESD

    unet = UNetModel(
        image_size=32,
        in_channels=4,
        out_channels=4,
        model_channels=320,
        num_res_blocks=[1, 1],
        channel_mult=[1, 2],
        transformer_depth=[0, 1],
        transformer_depth_middle=-1,
        transformer_depth_output=[0, 0, 0, 0],
        context_dim=1024,
        num_heads=8,
        num_head_channels=-1,
        use_spatial_transformer=True,
        use_linear_in_transformer=True,
        legacy=False,
        heatmap_head=True,
        operations=comfy.ops.manual_cast,
    )
    randomise(unet, 3)
    model = comfy.sd.load_diffusion_model_state_dict(dict(unet.state_dict()))
    code = TAESD()
    randomise(code, 4)
    return model, comfy.sd.VAE(sd=dict(code.state_dict()))
