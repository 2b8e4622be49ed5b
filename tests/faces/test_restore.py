"""Restoration against the networks as spandrel loads them, and what must stay untouched."""

import folder_paths
import numpy as np
import pytest
import torch
from astronaut import BOX, face, face_through, picture, seen_through, turned
from ensemble_portraits.ensemble.faces import choices
from ensemble_portraits.ensemble.faces.align import (
    CROP,
    WHOLE_CROP,
    carry,
    crop_matrix,
    inverse,
    moved,
)
from ensemble_portraits.ensemble.faces.boxes import Face
from ensemble_portraits.ensemble.faces.restore import Restorer, load_restorer, restore_faces
from ensemble_portraits.ensemble.models.loading import manage
from safetensors.torch import save_file


def small_restoreformer() -> torch.nn.Module:
    """RestoreFormer's layout at a hundredth of its weights; its picture stays 512 px."""
    from spandrel.architectures.RestoreFormer import RestoreFormer

    torch.manual_seed(0)
    return RestoreFormer(
        n_embed=16, embed_dim=32, ch=32, out_ch=3, ch_mult=(1, 1, 1, 1, 1, 1), num_res_blocks=1,
        attn_resolutions=(16,), dropout=0.0, in_channels=3, resolution=512, z_channels=32,
        double_z=False, enable_mid=True, head_size=8,
    ).eval()  # fmt: skip


@pytest.fixture(scope="module")
def weights() -> dict[str, torch.Tensor]:
    return {key: value.contiguous() for key, value in small_restoreformer().state_dict().items()}


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """Empty model folders in place of the real ones, for one test."""
    for name in choices.RESTORER_FOLDERS:
        (tmp_path / name).mkdir()
        extensions = folder_paths.folder_names_and_paths[name][1]
        monkeypatch.setitem(
            folder_paths.folder_names_and_paths, name, ([str(tmp_path / name)], extensions)
        )
        monkeypatch.delitem(folder_paths.filename_list_cache, name, raising=False)
    folder_paths.cache_helper.clear()
    yield tmp_path
    for name in choices.RESTORER_FOLDERS:
        folder_paths.filename_list_cache.pop(name, None)


def on_the_grid() -> tuple[torch.Tensor, Face]:
    """A picture of 600x560 with a box whose crop is exactly its 512 pixels from (40, 30) on."""
    matrix = turned(0, 3.0, 60, 120)
    image = seen_through(matrix, (560, 600))
    side = CROP / 1.6
    middle = 40 + CROP / 2, 30 + CROP / 2 + 0.1 * CROP
    aligned = Face.at(
        middle[0] - side / 2, middle[1] - side / 2, middle[0] + side / 2, middle[1] + side / 2
    )
    np.testing.assert_allclose(crop_matrix(aligned), [[1, 0, -40], [0, 1, -30]], atol=1e-9)
    return image, aligned


@pytest.mark.parametrize("extension", ["safetensors", "pth"])
def test_restoreformer_is_spandrels_own(folders, weights, extension):
    from spandrel import ModelLoader

    path = folders / "facerestore_models" / f"small.{extension}"
    if extension == "pth":
        torch.save({"params_ema": weights}, path)
    else:
        save_file(weights, path)
    image, aligned = on_the_grid()
    result = restore_faces(image, [[aligned]], load_restorer(path.name), 1.0)
    crop = image[:, 30:542, 40:552].movedim(-1, 1)
    expected = ModelLoader().load_from_file(path)(crop).movedim(1, -1)[0]
    # Within the oval the crop is the network's; places are float32, so 1/1000 of a grey level.
    inner = (slice(170, 400), slice(170, 340))
    assert (result[0, 30:542, 40:552][inner] - expected[inner]).abs().max() < 1e-3
    assert (expected[inner] - image[0, 30:542, 40:552][inner]).abs().mean() > 0.05


def test_a_network_that_draws_noise_gives_one_picture(folders):
    """GFPGAN's decoder does; the noise of others is not spent on it."""

    class Noisy(torch.nn.Module):
        def forward(self, x):
            return (x + torch.randn(x.shape),)

    cpu = torch.device("cpu")
    restorer = Restorer(manage(Noisy(), load_device=cpu, offload_device=cpu), "GFPGAN")
    crop, state = torch.full((3, CROP, CROP), 0.5), torch.random.get_rng_state()
    first = restorer(crop)
    torch.rand(1)
    assert torch.equal(restorer(crop), first) and first.std() > 0.1
    torch.random.set_rng_state(state)
    restorer(crop)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_files_are_read_once(folders, weights):
    path = folders / "upscale_models" / "RestoreFormer_small.safetensors"
    save_file(weights, path)
    (folders / "upscale_models" / "4x.safetensors").write_bytes(b"")
    assert choices.restorers() == [path.name]
    first = load_restorer(path.name)
    assert load_restorer(path.name) is first
    save_file(
        {**weights, "quantize.embedding.weight": weights["quantize.embedding.weight"] + 1}, path
    )
    assert load_restorer(path.name) is not first


@pytest.mark.parametrize("content", [b"", b"not a model", "short", "other", "unknown", "upscaler"])
def test_bad_files_are_named(folders, weights, content):
    path = folders / "facerestore_models" / "bad.safetensors"
    if content == "short":
        save_file({k: v for k, v in weights.items() if k != "decoder.conv_in.weight"}, path)
    elif content == "other":
        save_file({**weights, "decoder.conv_in.weight": torch.zeros(3, 3)}, path)
    elif content == "unknown":
        save_file({"weight": torch.zeros(2)}, path)
    elif content == "upscaler":
        upscaler = {"body.0.weight": torch.zeros(8, 3, 3, 3), "body.0.bias": torch.zeros(8)}
        upscaler |= {"body.1.weight": torch.zeros(8), "body.2.weight": torch.zeros(12, 8, 3, 3)}
        save_file({**upscaler, "body.2.bias": torch.zeros(12)}, path)
    else:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=r"models/facerestore_models/bad\.safetensors"):
        load_restorer(path.name)


def test_codeformer_says_what_it_needs(folders):
    save_file(
        {"position_emb": torch.zeros(2)}, folders / "facerestore_models" / "CodeFormer.safetensors"
    )
    with pytest.raises(ValueError, match="spandrel_extra_arches"):
        load_restorer("CodeFormer.safetensors")


def red(crop: torch.Tensor) -> torch.Tensor:
    return torch.tensor([1.0, 0.0, 0.0])[:, None, None].expand_as(crop)


def test_a_network_that_changes_nothing_changes_nothing():
    for aligned in (face(), BOX):
        image = picture()
        assert torch.equal(restore_faces(image, [[aligned]], lambda crop: crop, 1.0), image)


def test_strength_0_is_the_input():
    image = picture()
    assert torch.equal(restore_faces(image, [[face()]], red, 0.0), image)


def test_strength_is_how_much_shows():
    image = picture()
    whole = restore_faces(image, [[face()]], red, 1.0)
    half = restore_faces(image, [[face()]], red, 0.5)
    assert torch.allclose(half, (image + whole) / 2, atol=2e-3)
    x, y = (int(v) for v in BOX.box.centre)
    assert torch.allclose(whole[0, y, x], torch.tensor([1.0, 0, 0]), atol=0.02)


@pytest.mark.parametrize("degrees", [0, 35])
def test_pixels_outside_stay_bit_for_bit(degrees):
    matrix = turned(degrees, 1.3, 20, 30)
    image, aligned = seen_through(matrix), face_through(matrix)
    alpha = torch.rand(1, 512, 512, 1, generator=torch.Generator().manual_seed(0))
    image = torch.cat([image, alpha], dim=-1)
    result = restore_faces(image, [[aligned]], red, 1.0)
    changed = (result != image).any(dim=-1)[0]
    y, x = torch.nonzero(changed).T.numpy()
    placed = moved(np.c_[x + 0.5, y + 0.5], crop_matrix(aligned)) / CROP
    # The oval's own ellipse; one pixel of the picture is about 2 % of the crop.
    reach = np.hypot((placed[:, 0] - 0.5) / 0.40, (placed[:, 1] - 0.54) / 0.44)
    assert reach.max() < 1.05 and changed.float().mean() > 0.02
    assert torch.equal(result[..., 3], image[..., 3])


@pytest.mark.parametrize("middle", [(0.0, 0.0), (511.0, 300.0), (256.0, 2.0)])
def test_faces_at_the_border(middle):
    x, y = middle
    aligned = Face.at(x - 60, y - 60, x + 60, y + 60)
    result = restore_faces(picture(), [[aligned]], red, 1.0)
    assert result.isfinite().all() and result.shape == picture().shape
    assert (result != picture()).any()


def test_a_picture_smaller_than_a_crop():
    image = picture()[:, 80:190, 170:280]
    result = restore_faces(image, [[Face.at(11, 8, 100, 98)]], red, 1.0)
    assert result.shape == image.shape and (result != image).any()


def test_a_small_face_gets_the_mean_of_what_was_restored():
    """A fine pattern at 512 px is grey, not noise, on a face of 20 px."""

    def stripes(crop):
        pattern = (torch.arange(CROP) // 4 % 2).float()
        return pattern.expand_as(crop)

    image = torch.full((1, 64, 64, 3), 0.25)
    result = restore_faces(image, [[Face.at(22, 22, 42, 42)]], stripes, 1.0)
    assert (result[0, 28:38, 28:38] - 0.5).abs().max() < 0.2


def test_batches_with_different_counts():
    images = picture().repeat(3, 1, 1, 1)
    result = restore_faces(images, [[face()], [], [Face.at(300, 300, 350, 350)]], red, 1.0)
    assert torch.equal(result[1], images[1])
    for index in (0, 2):
        assert not torch.equal(result[index], images[index])
    assert torch.equal(result[0], restore_faces(images[:1], [[face()]], red, 1.0)[0])


@pytest.mark.slow
def test_gfpgan_is_its_authors_arithmetic(folders):
    """GFPGAN's own code feeds and reads -1..1, and its noise would differ each time."""
    from spandrel.architectures.GFPGAN import GFPGAN

    torch.manual_seed(0)
    net = GFPGAN().eval()
    # A fresh network has no noise; a trained one has.
    for key, value in net.state_dict().items():
        if key.endswith("noise.weight") or (key.endswith(".weight") and value.shape == (1,)):
            value.fill_(0.1)
    torch.save({"params_ema": net.state_dict()}, folders / "facerestore_models" / "GFPGANv1.4.pth")
    image, aligned = on_the_grid()
    crop = carry(image[0].movedim(-1, 0), inverse(crop_matrix(aligned)), WHOLE_CROP).clamp(0, 1)
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(0)
        expected = ((net(crop[None] * 2 - 1)[0] + 1) / 2).clamp(0, 1)[0]
    restorer = load_restorer("GFPGANv1.4.pth")
    before = torch.get_rng_state()
    first, second = restorer(crop), restorer(crop)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first, second)
    assert (first - expected).abs().max() < 1e-5
    result = restore_faces(image, [[aligned]], restorer, 1.0)
    inner = (slice(200, 400), slice(210, 380))
    shown = expected.movedim(0, -1)[170:370, 170:340]
    assert (result[0][inner] - shown).abs().max() < 1e-3
