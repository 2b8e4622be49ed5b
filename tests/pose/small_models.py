"""Small random models of the estimators' own classes, in the folders their users have."""

from pathlib import Path

import torch


def randomise(model: torch.nn.Module, seed: int = 0) -> None:
    # The libraries' start values are so small that every picture gives the same answer.
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        shape = parameter.shape
        spread = 0.3 if len(shape) < 2 else 1.0 / max(1, shape[1:].numel()) ** 0.5
        parameter.data = torch.randn(shape, generator=generator) * spread


def vitpose(folder: Path) -> None:
    from transformers import (
        VitPoseBackboneConfig,
        VitPoseConfig,
        VitPoseForPoseEstimation,
        VitPoseImageProcessor,
    )

    backbone = VitPoseBackboneConfig(
        image_size=[64, 48],
        patch_size=[16, 16],
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        mlp_ratio=2,
        out_indices=[2],
    )
    model = VitPoseForPoseEstimation(
        VitPoseConfig(backbone_config=backbone, num_labels=17, use_simple_decoder=True)
    )
    randomise(model, 1)
    model.save_pretrained(folder)
    VitPoseImageProcessor(size={"height": 64, "width": 48}).save_pretrained(folder)


def rtdetr(folder: Path) -> None:
    from transformers import (
        RTDetrConfig,
        RTDetrForObjectDetection,
        RTDetrImageProcessor,
        RTDetrResNetConfig,
    )

    backbone = RTDetrResNetConfig(
        embedding_size=8,
        hidden_sizes=[8, 16, 16, 16],
        depths=[1, 1, 1, 1],
        layer_type="basic",
        out_features=["stage2", "stage3", "stage4"],
    )
    config = RTDetrConfig(
        backbone_config=backbone,
        encoder_in_channels=[16, 16, 16],
        encoder_hidden_dim=32,
        encoder_ffn_dim=32,
        encoder_attention_heads=2,
        decoder_in_channels=[32, 32, 32],
        d_model=32,
        decoder_ffn_dim=32,
        decoder_attention_heads=2,
        decoder_layers=2,
        num_queries=6,
        num_labels=3,
        id2label={0: "bicycle", 1: "person", 2: "car"},
        label2id={"bicycle": 0, "person": 1, "car": 2},
        anchor_image_size=None,
    )
    model = RTDetrForObjectDetection(config)
    randomise(model, 2)
    model.save_pretrained(folder)
    RTDetrImageProcessor(size={"height": 64, "width": 64}).save_pretrained(folder)


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
