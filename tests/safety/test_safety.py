import sys

import pytest
import torch
from ensemble_portraits.ensemble.models.loading import folder_names
from ensemble_portraits.ensemble.safety.check import (
    Action,
    check_pictures,
    find_flagged,
    hide,
    load_checker,
)

from dev.models.hosted import make_safety_checker


@pytest.fixture(scope="module")
def checkers(tmp_path_factory):
    """models/safety_checker with `middle`, which flags some of `pictures(8)`, and two sure ones."""
    import folder_paths

    root = tmp_path_factory.mktemp("models") / "safety_checker"
    arrays = list((pictures(8) * 255).round().to(torch.uint8).numpy())
    make_safety_checker(root / "middle", 0.0, arrays)
    make_safety_checker(root / "all", -1.0)
    make_safety_checker(root / "nothing", 1.0)
    (root / "empty").mkdir()
    folder_paths.add_model_folder_path("safety_checker", str(root))
    yield root
    folder_paths.folder_names_and_paths["safety_checker"][0].remove(str(root))


def pictures(count: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand((count, 3, 4, 6), generator=generator)
    return torch.nn.functional.interpolate(coarse, size=(64, 96)).movedim(1, -1)


def diffusers_checker(folder):
    """diffusers' own class over a folder; it must find all of its weights there."""
    from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker

    net, info = StableDiffusionSafetyChecker.from_pretrained(folder, output_loading_info=True)
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    return net.eval()


def test_verdicts_equal_diffusers_own_pipeline_code(checkers):
    """StableDiffusionPipeline.run_safety_checker over the same folder, picture by picture."""
    from diffusers import StableDiffusionPipeline
    from diffusers.image_processor import VaeImageProcessor
    from transformers import CLIPImageProcessor

    class Pipeline:
        safety_checker = diffusers_checker(checkers / "middle")
        feature_extractor = CLIPImageProcessor.from_pretrained(checkers / "middle")
        image_processor = VaeImageProcessor()
        run_safety_checker = StableDiffusionPipeline.run_safety_checker

    images = pictures(8)
    theirs = Pipeline().run_safety_checker(
        images.movedim(-1, 1).clone() * 2 - 1, torch.device("cpu"), torch.float32
    )[1]
    assert find_flagged(load_checker("middle"), images) == theirs
    assert True in theirs
    assert False in theirs


def test_special_concepts_lower_every_threshold_as_in_diffusers(checkers):
    """The same weights in diffusers' class, at thresholds round all the cosines of the pictures: of
    640 verdicts each must be the same, and a special concept must have turned some."""
    make_safety_checker(checkers / "special", 0.0)
    net = load_checker("special").on_device()[0]
    theirs = diffusers_checker(checkers / "special")
    pixels = torch.randn((20, 3, 32, 32), generator=torch.Generator().manual_seed(0))
    turned = 0
    for step in range(32):
        verdicts = []
        for special in (1.0, 0.0):
            for each in (net, theirs):
                each.concept_embeds_weights.data.fill_(0.3 + 0.01 * step)
                each.special_care_embeds_weights.data.fill_(special)
            _, expected = theirs(pixels, [torch.zeros(1) for _ in pixels])
            assert net(pixels).tolist() == expected
            verdicts.append(expected)
        turned += verdicts[0] != verdicts[1]
    assert turned


def test_the_published_folders_layout_loads(checkers):
    """CompVis/stable-diffusion-safety-checker, older than transformers' flat vision tower."""
    from safetensors.torch import load_file, save_file

    weights = load_file(checkers / "middle" / "model.safetensors")
    make_safety_checker(checkers / "published", 1.0)
    nested = {
        name.replace("vision_model.", "vision_model.vision_model.", 1): value
        for name, value in weights.items()
    }
    save_file(nested, checkers / "published" / "model.safetensors", metadata={"format": "pt"})
    images = pictures(8)
    flagged = find_flagged(load_checker("published"), images)
    assert flagged == find_flagged(load_checker("middle"), images)
    assert True in flagged


def test_diffusers_is_not_needed(checkers, monkeypatch):
    monkeypatch.setitem(sys.modules, "diffusers", None)
    assert find_flagged(load_checker("all"), pictures(1)) == [True]


@pytest.mark.parametrize("action", list(Action))
def test_only_flagged_pictures_are_replaced(action):
    images = torch.rand((3, 64, 96, 3), generator=torch.Generator().manual_seed(0))
    hidden = hide(images, [False, True, False], action)
    assert hidden.shape == images.shape
    assert torch.equal(hidden[[0, 2]], images[[0, 2]])
    assert not torch.allclose(hidden[1], images[1])
    assert float(hidden.min()) >= 0
    assert float(hidden.max()) <= 1


def test_pixelate_and_blur_leave_no_detail_and_the_mean_colour():
    generator = torch.Generator().manual_seed(0)
    image = torch.rand((1, 240, 240, 3), generator=generator)
    squares = hide(image, [True], Action.PIXELATE)
    blurred = hide(image, [True], Action.BLUR)
    assert len(squares.reshape(-1, 3).unique(dim=0)) <= 12 * 12
    # 20 pixels from one cell to the next: no step is larger than a twentieth of their difference.
    assert float(blurred.diff(dim=2).abs().max()) <= float(squares.diff(dim=2).abs().max()) / 19
    for hidden in (squares, blurred):
        torch.testing.assert_close(hidden.mean((1, 2)), image.mean((1, 2)), rtol=0, atol=0.01)


def test_off_is_told_apart_from_unflagged(checkers):
    images = pictures(2)
    assert check_pictures(images, "off", Action.BLACK) == (images, None)
    shown, flagged = check_pictures(images, "nothing", Action.BLACK)
    assert flagged == [False, False]
    assert shown is images
    shown, flagged = check_pictures(images, "all", Action.BLACK)
    assert flagged == [True, True]
    assert float(shown.max()) == 0


def test_only_listed_folders_load(checkers):
    assert [name for name in folder_names("safety_checker") if name in "middle all empty"] == [
        "all",
        "middle",
    ]
    for name in ("../safety_checker/all", "empty", "", str(checkers / "all")):
        with pytest.raises(ValueError, match="is no model folder in models/safety_checker"):
            load_checker(name)


def test_a_folder_without_its_weights_is_refused(checkers):
    broken = checkers / "broken"
    make_safety_checker(broken, 0)
    weights = next(broken.glob("*.safetensors"))
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(ValueError, match="models/safety_checker/broken cannot be read"):
        load_checker("broken")
