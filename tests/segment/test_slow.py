"""SAM 3 and BiRefNet at full size, through core's own loaders, with random weights in real files."""

import pytest
import torch
from ensemble_portraits.ensemble.segment import birefnet, sam3
from ensemble_portraits.ensemble.segment.backend import Job, Sockets

pytestmark = pytest.mark.slow


def fill(shapes: dict[str, torch.Tensor], dtype: torch.dtype) -> dict[str, torch.Tensor]:
    """Random matrices at 1/sqrt(fan in), norms at one, the rest zero."""
    torch.manual_seed(0)
    weights = {}
    for name, value in shapes.items():
        if not value.is_floating_point():
            weights[name] = value.clone()
        elif value.ndim > 1:
            weights[name] = (torch.randn(value.shape) * value[0].numel() ** -0.5).to(dtype)
        else:
            ones = "norm" in name and name.endswith(("weight", "running_var"))
            weights[name] = torch.full(value.shape, float(ones), dtype=dtype)
    return weights


def text_tower() -> dict[str, torch.Tensor]:
    """Shapes of SAM 3's text tower in the names of its published file (OpenCLIP's)."""
    wide, head = 1024, "detector.backbone.language_backbone.encoder."
    shapes = {
        "token_embedding.weight": (49408, wide),
        "positional_embedding": (32, wide),
        "ln_final.weight": (wide,),
        "ln_final.bias": (wide,),
    }
    for layer in range(24):
        block = f"transformer.resblocks.{layer}."
        for part, rows, columns in (
            ("attn.in_proj_", 3 * wide, wide),
            ("attn.out_proj.", wide, wide),
            ("mlp.c_fc.", 4 * wide, wide),
            ("mlp.c_proj.", wide, 4 * wide),
        ):
            shapes[f"{block}{part}weight"] = (rows, columns)
            shapes[f"{block}{part}bias"] = (rows,)
        for norm in ("ln_1.", "ln_2."):
            shapes[f"{block}{norm}weight"] = shapes[f"{block}{norm}bias"] = (wide,)
    weights = fill({head + name: torch.empty(shape) for name, shape in shapes.items()}, torch.half)
    for name in weights:
        if ".ln_" in name and name.endswith("weight"):
            weights[name] = torch.ones_like(weights[name])
    return weights


@pytest.fixture
def sam3_file(model_folders):
    import comfy.ops
    from comfy.ldm.sam3.detector import SAM3Model
    from safetensors.torch import save_file

    net = SAM3Model(image_model="SAM31", dtype=torch.half, operations=comfy.ops.disable_weight_init)
    weights = {**fill(net.state_dict(), torch.half), **text_tower()}
    file = model_folders / "checkpoints" / "sam3.1_multiplex_fp16.safetensors"
    save_file(weights, file)
    return file


def test_sam3_from_its_file_is_cores_sam3_detect(sam3_file, image):
    """Core's node with the same phrase, without refinement, is our mask cut at one half."""
    from comfy_extras.nodes_sam3 import SAM3_Detect

    assert sam3.find(Sockets()) == sam3_file
    model, clip = sam3._load(sam3_file)
    threshold, words = 0.5, ("hat", "red scarf")
    with torch.inference_mode():
        found = sam3.segment((model, clip), Job(image=image[:1], words=words, threshold=threshold))
        assert found.shape == (2, 1, 256, 320)
        for word, mask in zip(words, found, strict=True):
            tokens = clip.tokenize(f"{word}:{sam3.MAX_OBJECTS}")
            expected, boxes = SAM3_Detect.execute(
                model,
                image[:1],
                conditioning=clip.encode_from_tokens_scheduled(tokens),
                threshold=threshold,
                refine_iterations=0,
            ).args
            assert 0 < len(boxes[0]) <= sam3.MAX_OBJECTS
            # Both enlarge the logits bilinearly; pixels within rounding of the edge may differ.
            assert ((mask > 0.5).float() - expected.float()).abs().mean() < 1e-3


@torch.inference_mode()
def test_birefnet_from_its_file_is_cores_remove_background(model_folders, image):
    import json
    from pathlib import Path

    import comfy.background_removal.birefnet as core
    import comfy.bg_removal_model
    import comfy.ops
    from comfy_extras.nodes_bg_removal import LoadBackgroundRemovalModel, RemoveBackground
    from safetensors.torch import save_file

    folder = Path(comfy.bg_removal_model.__file__).parent / "background_removal"
    config = json.loads((folder / "birefnet.json").read_text())
    net = core.BiRefNet(config, torch.float32, "cpu", comfy.ops.manual_cast)
    file = model_folders / "background_removal" / "birefnet.safetensors"
    save_file(fill(net.state_dict(), torch.half), file)
    model = LoadBackgroundRemovalModel.execute(file.name).args[0]
    expected = RemoveBackground.execute(model, image[:1]).args[0]
    found = birefnet.find(Sockets())
    assert found == file
    masks = birefnet.segment(
        found, Job(image=image[:1], words=("foreground", "person"), threshold=0.5)
    )
    assert torch.equal(masks, expected.float().expand(2, -1, -1, -1))
    assert expected.std() > 0
