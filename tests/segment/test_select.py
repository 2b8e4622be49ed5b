"""From a request to the final mask: plan, order, warnings, and what must be refused."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from ensemble_portraits.ensemble.regions import masks
from ensemble_portraits.ensemble.regions.masks import Length
from ensemble_portraits.ensemble.segment import grabcut, registry
from ensemble_portraits.ensemble.segment.backend import Backend, Sockets, Softness
from ensemble_portraits.ensemble.segment.registry import BACKENDS, plan
from ensemble_portraits.ensemble.segment.request import MaskRequest
from ensemble_portraits.ensemble.segment.select import mask_from_words

SIZE = 96


def disc(radius: float, x: float = 48, y: float = 48) -> torch.Tensor:
    row, column = np.mgrid[:SIZE, :SIZE]
    return torch.from_numpy((row - y) ** 2 + (column - x) ** 2 <= radius**2).float()[None]


SHAPES = {"body": disc(30), "clothes": disc(18, y=60), "speck": disc(3, x=10, y=10)}


class Recorder:
    """A backend that knows three words and notes how often it was asked."""

    def __init__(self, softness=Softness.EDGE):
        self.jobs = []
        self.backend = Backend(
            id="drawn",
            title="Drawn",
            files=(),
            licence="none",
            softness=softness,
            fit=lambda word: float(word in {**SHAPES, "foreground": 1}),
            find=lambda sockets: self,
            segment=self.segment,
            threshold=0.25,
        )

    def segment(self, found, job):
        assert found is self
        self.jobs.append(job)
        shapes = {**SHAPES, "foreground": SHAPES["body"]}
        return torch.stack([shapes[word].expand(len(job.image), -1, -1) for word in job.words])


@pytest.fixture
def drawn(monkeypatch) -> Recorder:
    recorder = Recorder()
    monkeypatch.setattr(registry, "BACKENDS", (recorder.backend,))
    return recorder


def run(request: MaskRequest, batch: int = 1, given=None, sockets=None):
    image = torch.full((batch, SIZE, SIZE, 3), 0.5)
    return mask_from_words(request, image, sockets or Sockets(), given)


def test_words_are_joined_and_negatives_taken_out_in_one_look(drawn):
    result = run(MaskRequest(("body", "speck"), ("clothes",)))
    joined = torch.maximum(SHAPES["body"], SHAPES["speck"])
    assert torch.equal(result.mask, (joined - SHAPES["clothes"]).clamp(0))
    assert [job.words for job in drawn.jobs] == [("body", "speck", "clothes")]
    assert drawn.jobs[0].threshold == 0.25
    assert result.cuts == ("body: Drawn", "speck: Drawn", "minus clothes: Drawn")


def test_a_cancelled_run_stops_before_the_next_backend(drawn):
    from comfy import model_management

    model_management.interrupt_current_processing(True)
    with pytest.raises(model_management.InterruptProcessingException):
        run(MaskRequest(("body",)))
    assert not drawn.jobs
    assert run(MaskRequest(("body",))).mask.any()


def test_the_order_is_clean_dilate_invert_feather(drawn):
    request = MaskRequest(
        ("body", "speck"),
        ("clothes",),
        invert=True,
        dilate=Length(-4),
        feather=Length(6),
        fill_holes=0.02,
        drop_islands=0.1,
    )
    selection = (SHAPES["body"] - SHAPES["clothes"]).clamp(0)
    selection = masks.drop_islands(masks.fill_holes(selection, 0.02), 0.1)
    kept = masks.grow(selection, torch.tensor([-4.0]))[0]
    expected = masks.feather(1 - kept, torch.tensor([6.0]))
    assert torch.equal(run(request).mask, expected)
    # The kept region shrinks, so what is repainted grows: the other order gives another mask.
    assert expected.mean() > 1 - selection.mean()


def test_inverting_twice_is_nothing(drawn):
    plain = run(MaskRequest(("body",), dilate=Length(3)))
    inverted = run(MaskRequest(("body",), dilate=Length(3), invert=True))
    torch.testing.assert_close(1 - inverted.mask, plain.mask)


def test_background_is_what_the_foreground_is_not(drawn):
    assert torch.equal(run(MaskRequest(("backdrop",))).mask, 1 - SHAPES["body"])
    assert drawn.jobs[0].words == ("foreground",)


def test_a_likelihood_is_cut_at_the_threshold_and_soft_around_it(monkeypatch):
    recorder = Recorder(Softness.HEAT)
    ramp = torch.linspace(0, 1, SIZE).expand(1, 1, SIZE, SIZE)
    backend = replace(recorder.backend, segment=lambda found, job: ramp)
    monkeypatch.setattr(registry, "BACKENDS", (backend,))
    mask = run(MaskRequest(("body",), threshold=0.4)).mask[0, 0]
    expected = ((ramp[0, 0, 0] - 0.4) / 0.2 + 0.5).clamp(0, 1)
    torch.testing.assert_close(mask, expected)
    default = run(MaskRequest(("body",))).mask[0, 0]
    assert default[int(0.25 * SIZE)] == pytest.approx(0.5, abs=0.06)


def test_percent_follows_each_pictures_own_selection(drawn, monkeypatch):
    both = torch.stack([torch.cat([disc(30), disc(10)])])
    monkeypatch.setattr(
        registry, "BACKENDS", (replace(drawn.backend, segment=lambda found, job: both),)
    )
    result = run(MaskRequest(("body",), dilate=Length(-50, True)), batch=2)
    radii = masks.equivalent_radius(result.mask)
    # The edge of a digital disc is good to about half a pixel.
    assert radii[0].item() == pytest.approx(15, abs=0.7)
    assert radii[1].item() == pytest.approx(5, abs=0.7)


def test_a_shrink_to_nothing_stops_and_says_so(drawn):
    result = run(MaskRequest(("body",), dilate=Length(-200)))
    assert (result.mask > 0.5).any()
    assert any("dilate would shrink" in warning for warning in result.warnings)
    assert "instead of 200 px" in result.report


@pytest.mark.parametrize(
    ("found", "text"),
    [
        (torch.zeros(1, 1, SIZE, SIZE), "the selection is nothing (coverage 0.00%)"),
        (torch.ones(1, 1, SIZE, SIZE), "the selection is the whole picture (coverage 100.00%)"),
    ],
)
def test_empty_and_full_selections_warn_with_their_coverage(
    drawn, monkeypatch, caplog, found, text
):
    backend = replace(drawn.backend, segment=lambda _, job: found)
    monkeypatch.setattr(registry, "BACKENDS", (backend,))
    result = run(MaskRequest(("body",), dilate=Length(-5), feather=Length(9)))
    assert result.warnings == (text,)
    assert text in caplog.text
    assert torch.equal(result.mask, found[0])


def test_in_a_batch_the_warning_names_the_picture(drawn, monkeypatch):
    mixed = torch.stack([torch.cat([disc(30), torch.zeros(1, SIZE, SIZE), disc(30)])])
    backend = replace(drawn.backend, segment=lambda _, job: mixed)
    monkeypatch.setattr(registry, "BACKENDS", (backend,))
    result = run(MaskRequest(("body",)), batch=3)
    assert result.warnings == ("the selection is nothing in picture 2 (coverage 0.00%)",)
    assert "30.6%, 0.0%, 30.6%" in result.report


def test_empty_words_are_refused():
    with pytest.raises(ValueError, match="words is empty"):
        run(MaskRequest(()))


def test_a_given_mask_wins_over_words_and_is_shaped_all_the_same(drawn):
    result = run(MaskRequest(("body",), invert=True), given=disc(12))
    assert torch.equal(result.mask, 1 - disc(12))
    assert not drawn.jobs
    assert any("both mask and words" in warning for warning in result.warnings)


def test_a_given_mask_of_another_size_is_resized_and_says_so():
    small = torch.zeros(48, 24)
    small[:, 12:] = 1
    result = run(MaskRequest(()), batch=2, given=small)
    assert result.mask.shape == (2, SIZE, SIZE)
    assert result.warnings == ("the mask is 24x48 and the image 96x96: the mask was resized",)
    with pytest.raises(ValueError, match="3 masks for 2 pictures"):
        run(MaskRequest(()), batch=2, given=torch.zeros(3, SIZE, SIZE))


# The order of preference that `auto` follows, for a machine that has everything.
BEST = {
    "foreground": "birefnet",
    "background": "birefnet",
    "person": "sam3",
    "face": "mediapipe",
    "eyes": "mediapipe",
    "clothes": "sam3",
    "windows": "sam3",
}
WITHOUT_SAM3 = {
    "clothes": "clothes",
    "shoes": "clothes",
    "nose": "face_parsing",
    "hair": "clothes",
    "person": "grounded_sam2",
    "windows": "grounded_sam2",
}


def _there(monkeypatch, *ids: str):
    entries = tuple(replace(b, find=lambda sockets: True) for b in BACKENDS if b.id in ids)
    monkeypatch.setattr(registry, "BACKENDS", entries)


@pytest.mark.parametrize(("word", "best"), BEST.items())
def test_auto_takes_the_best(monkeypatch, word, best):
    _there(monkeypatch, *(backend.id for backend in BACKENDS))
    assert plan([word], "auto", Sockets())[0].backend.id == best


@pytest.mark.parametrize(("word", "best"), WITHOUT_SAM3.items())
def test_auto_takes_the_next_best(monkeypatch, word, best):
    _there(monkeypatch, *(b.id for b in BACKENDS if b.id not in ("sam3", "mediapipe")))
    assert plan([word], "auto", Sockets())[0].backend.id == best


def test_foreground_falls_back_to_grabcut_before_any_model_of_phrases(monkeypatch):
    _there(monkeypatch, *(b.id for b in BACKENDS if b.id != "birefnet"))
    assert plan(["foreground"], "auto", Sockets())[0].backend.id == "grabcut"
    _there(monkeypatch, "clipseg")
    assert plan(["foreground", "red scarf"], "auto", Sockets())[0].backend.id == "clipseg"


def test_without_models_the_error_lists_what_would_do_for_each_word(model_folders):
    with pytest.raises(ValueError, match="2 of the words") as caught:
        plan(["windows", "foreground", "shoes"], "auto", Sockets())
    text = str(caught.value)
    windows, shoes = (line for line in text.splitlines() if line.startswith("- "))
    assert windows.startswith('- "windows": SAM 3: sam3.1_multiplex_fp16.safetensors in models/')
    assert "grounding-dino-tiny/ (a folder) in models/segmentation" in windows
    assert "clipseg-rd64-refined" in windows
    assert "segformer" not in windows
    assert "segformer_b2_clothes" in shoes


def test_a_chosen_backend_that_does_not_know_the_word_says_who_would():
    with pytest.raises(ValueError, match='"windows": GrabCut does not know it; SAM 3') as caught:
        plan(["windows"], "grabcut", Sockets())
    assert "CLIPSeg would" in str(caught.value)
    with pytest.raises(ValueError, match='backend = "sam4"'):
        plan(["windows"], "sam4", Sockets())


def test_without_opencv_the_package_is_named(model_folders, monkeypatch):
    import importlib.util

    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "cv2" else found(name)
    )
    assert grabcut.find(Sockets()) is None
    with pytest.raises(ValueError, match="GrabCut: the Python package opencv-python"):
        plan(["foreground"], "auto", Sockets())


def test_every_backend_describes_itself():
    assert len({backend.id for backend in BACKENDS}) == len(BACKENDS)
    for backend in BACKENDS:
        assert backend.title
        assert backend.licence
        assert isinstance(backend.softness, Softness)
        assert 0 < backend.threshold < 1
        assert any(backend.fit(word) for word in ("foreground", "face", "clothes", "nose"))
        for file in backend.files:
            assert file.name in str(file)
            assert file.folder in ("checkpoints", "background_removal", "detection", "segmentation")


def test_the_caution_of_a_last_resort_is_a_warning(image):
    result = mask_from_words(MaskRequest(("foreground",), backend="grabcut"), image[:1], Sockets())
    assert result.warnings == (grabcut.BACKEND.caution,)
    assert result.mask.shape == (1, 256, 320)


def test_models_are_asked_for_again_when_a_file_appears(model_folders):
    before = registry.available()
    assert registry.available() == before
    folder = model_folders / "segmentation" / "clip"
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "clipseg"}')
    assert registry.available() != before
