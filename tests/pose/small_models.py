"""Small random models of the estimators' own classes, in the folders their users have."""

from dev.models.pose import make_rtdetr as rtdetr
from dev.models.pose import make_vitpose as vitpose
from dev.models.pose import randomise

__all__ = ["rtdetr", "sdpose", "vitpose"]


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
