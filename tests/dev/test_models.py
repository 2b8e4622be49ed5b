"""The small models are what the other tests take them for; core's own loaders are the judge."""

import folder_paths
import pytest
import torch


@pytest.fixture(scope="module")
def checkpoint():
    """(model, clip, vae) of the small checkpoint, loaded once."""
    import comfy.sd

    path = folder_paths.get_full_path_or_raise("checkpoints", "small_sd15.safetensors")
    return comfy.sd.load_checkpoint_guess_config(path)[:3]


def read(name: str):
    import comfy.utils

    path = folder_paths.get_full_path_or_raise("loras", f"{name}.safetensors")
    return comfy.utils.load_torch_file(path, safe_load=True)


def matched(checkpoint, name: str) -> tuple[int, int]:
    """(keys that core patches, layers in the file)."""
    import comfy.lora
    import comfy.lora_convert

    model, clip, _ = checkpoint
    keys = comfy.lora.model_lora_keys_unet(model.model, {})
    keys = comfy.lora.model_lora_keys_clip(clip.cond_stage_model, keys)
    weights = read(name)
    patches = comfy.lora.load_lora(comfy.lora_convert.convert_lora(weights), keys)
    fits = len(model.clone().add_patches(patches)) + len(clip.clone().add_patches(patches))
    assert fits == len(patches)
    layers = {key.split(".lora_")[0].rsplit(".hada_")[0].rsplit(".lokr_")[0] for key in weights}
    layers = {layer.removesuffix(".alpha").removesuffix(".dora_scale") for layer in layers}
    return fits, len(layers)


def test_core_takes_it_for_sd15(checkpoint):
    import comfy.supported_models

    model, clip, _ = checkpoint
    assert isinstance(model.model.model_config, comfy.supported_models.SD15)
    assert clip.tokenize("a") and len(model.model.model_config.unet_config["channel_mult"]) == 2


def test_its_noise_is_mostly_its_input(checkpoint):
    """Else pictures run out of range, where every difference is clipped away."""
    import comfy.model_management

    model, clip, _ = checkpoint
    comfy.model_management.load_models_gpu([model])
    device = model.load_device
    x = torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(0)).to(device)
    text = clip.encode_from_tokens_scheduled(clip.tokenize("a"))[0][0].to(device)
    with torch.inference_mode():
        eps = model.model.diffusion_model(x, torch.tensor([500.0], device=device), context=text)
    correlation = torch.corrcoef(torch.stack((x.flatten(), eps.flatten())))[0, 1]
    assert 0.7 < correlation < 0.99
    assert 0.7 < eps.std() / x.std() < 1.4


@pytest.mark.parametrize(
    "name",
    [
        "people/ohwx_first",
        "people/ohwx_second",
        "people/ohwx_third",
        "ganyu-lora",
        "more_details",
        "peft",
        "unet_only",
        "layouts/locon",
        "layouts/loha",
        "layouts/lokr",
        "layouts/dora",
        "twins/a/twin",
    ],
)
def test_every_layer_of_a_good_lora_is_used(checkpoint, name):
    fits, layers = matched(checkpoint, name)
    assert fits == layers > 30


def test_the_bad_ones_are_bad(checkpoint):
    assert matched(checkpoint, "bad/sdxl") == (0, 8)
    fits, layers = matched(checkpoint, "bad/partly")
    assert 0 < fits < layers / 2
    with pytest.raises(Exception, match=r"(?i)truncated|incomplete|size|header"):
        read("bad/truncated")
    twins = [n for n in folder_paths.get_filename_list("loras") if n.endswith("twin.safetensors")]
    assert len(twins) == 2


def test_the_people_differ(checkpoint):
    first, second = read("people/ohwx_first"), read("people/ohwx_second")
    assert first.keys() == second.keys()
    assert all(not torch.equal(first[k], second[k]) for k in first if not k.endswith("alpha"))


def test_the_controlnet_fits_the_checkpoint(checkpoint):
    import comfy.controlnet

    path = folder_paths.get_full_path_or_raise("controlnet", "small_openpose.safetensors")
    net = comfy.controlnet.load_controlnet(path)
    blocks = checkpoint[0].model.diffusion_model.input_blocks
    assert len(net.control_model.zero_convs) == len(blocks)


@pytest.mark.parametrize("scale", [2, 4])
def test_the_upscaler_is_nearly_nearest_neighbour(scale):
    import comfy.utils
    from spandrel import ModelLoader

    path = folder_paths.get_full_path_or_raise("upscale_models", f"small_x{scale}.safetensors")
    model = ModelLoader().load_from_state_dict(comfy.utils.load_torch_file(path, safe_load=True))
    assert model.scale == scale
    picture = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        large = model(picture)
    nearest = torch.nn.functional.interpolate(picture, scale_factor=scale, mode="nearest")
    difference = (large - nearest).abs()
    assert 0 < difference.max() < 0.1
