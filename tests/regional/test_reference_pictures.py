"""Which picture is whose, and what is refused before anything is sampled."""

import json

import folder_paths
import numpy as np
import pytest
import small
import torch
from ensemble_portraits.ensemble.lora.names import UnresolvedNameError
from ensemble_portraits.ensemble.prompt.grammar import parse_break
from ensemble_portraits.ensemble.regional.compose import compose
from ensemble_portraits.ensemble.regional.reference_pictures import (
    files_state,
    find_picture,
    reference_pictures,
)
from ensemble_portraits.ensemble.regional.references import Readers
from ensemble_portraits.ensemble.regional.settings import Settings, check
from ensemble_portraits.nodes.regional import BreakRegionalPrompt
from PIL import Image

TWO = "park BREAK photo BREAK a woman <ref:ann> BREAK a man"


def save(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)
    return path


def colour(*levels) -> np.ndarray:
    return np.full((6, 8, len(levels)), levels, np.uint8)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(folder_paths, "input_directory", str(tmp_path / "input"))
    monkeypatch.setattr(folder_paths, "user_directory", str(tmp_path / "user"))
    save(tmp_path / "input" / "ann.png", colour(255, 0, 0))
    save(tmp_path / "input" / "people" / "Bob.v2.jpg", colour(0, 0, 255))
    save(tmp_path / "outside.png", colour(1, 1, 1))
    (tmp_path / "input" / "ann.txt").write_text("no picture")
    aliases = tmp_path / "user" / "default" / "ensemble" / "aliases.json"
    aliases.parent.mkdir(parents=True)
    aliases.write_text(json.dumps({
        "images": {"boss": "people/Bob.v2.jpg"},
        "people": {"cleo": {"faces": ["ann.png", "people/Bob.v2.jpg"]}, "dan": {"lora": "dan"}},
    }))  # fmt: skip
    return tmp_path / "input"


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("ann", "ann.png"), ("ann.png", "ann.png"), ("ANN", "ann.png"), ("bob.v2", "Bob.v2.jpg"),
        ("people\\Bob.v2", "Bob.v2.jpg"), ("boss", "Bob.v2.jpg"), ("cleo", "ann.png"),
    ],
)  # fmt: skip
def test_names_are_found_as_loras_are(name, file):
    assert find_picture(name).name == file


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("anna", "'anna' is no file in the input folder. Nearest: 'ann.png'"),
        ("dan", "no file in the input folder"),
        ("../outside", "no file in the input folder"),
        ("../outside.png", "no file in the input folder"),
        ("/etc/hosts", "no file in the input folder"),
        ("ann.txt", "no file in the input folder"),
    ],
)
def test_an_unknown_name_is_an_error_with_the_nearest(name, words):
    with pytest.raises(UnresolvedNameError, match=words):
        find_picture(name)
    text = f"s BREAK BREAK a <ref:{name}>"
    told = BreakRegionalPrompt.validate_inputs(text=text, on_missing="error")
    assert told.startswith("Input 'text': reference ") and words in told


def test_an_ambiguous_name_is_an_error(folder):
    save(folder / "old" / "ann.png", colour(9, 9, 9))
    save(folder / "older" / "Eve.png", colour(9, 9, 9))
    save(folder / "oldest" / "Eve.webp", colour(9, 9, 9))
    assert find_picture("ann").parent == folder  # the exact name wins
    with pytest.raises(UnresolvedNameError, match="'Eve' means 2 files in the input folder"):
        find_picture("Eve")


def people(text):
    return parse_break(text).people


def test_linked_pictures_go_to_people_without_a_tag():
    linked = torch.rand(1, 6, 8, 4)
    ann, other = reference_pictures(people(TWO), linked)
    assert torch.equal(ann, torch.tensor([1.0, 0, 0]).expand(1, 6, 8, 3))
    assert torch.equal(other, linked[..., :3])  # without its alpha
    first, second = reference_pictures(people("s BREAK BREAK a BREAK b"), linked)
    assert torch.equal(first, linked[..., :3]) and second is None
    assert reference_pictures(people("s BREAK BREAK a"), None) == [None]


@pytest.mark.parametrize(
    ("text", "count", "words"),
    [
        (TWO, 2, "2 pictures, and 'text' has 2 people, of whom 1 have a <ref:…> of their own"),
        ("s BREAK BREAK a", 2, "2 pictures, and 'text' has 1 people"),
        ("a plain prompt", 1, "1 pictures, and 'text' has 0 people"),
        ("s BREAK " + "BREAK a " * 20, 20, "20 reference pictures, and 10 are the most"),
    ],
)
def test_too_many_pictures_are_refused(text, count, words):
    with pytest.raises(ValueError, match=f"Input 'references'.*{words}"):
        reference_pictures(people(text), torch.rand(count, 6, 8, 3))


def test_files_of_any_depth(folder):
    save(folder / "deep.png", np.full((6, 8), 32768, np.uint16))
    save(folder / "clear.png", colour(255, 0, 0, 0))
    grey, clear = reference_pictures(people("s BREAK BREAK a <ref:deep> BREAK b <ref:clear>"), None)
    assert grey.shape == clear.shape == (1, 6, 8, 3)
    assert torch.allclose(grey, torch.tensor(0.5), atol=0.01)
    assert torch.equal(clear[0, 0, 0], torch.tensor([1.0, 0, 0]))


def test_a_file_that_is_no_picture_is_refused_at_the_queue(folder):
    (folder / "bad.png").write_bytes(b"no picture")
    with pytest.raises(ValueError, match=r"Input 'text': reference 'bad': bad.png is no picture"):
        check("s BREAK BREAK a <ref:bad>", "", Settings())


def test_a_broken_off_picture_is_refused_without_its_folder(folder):
    whole = save(
        folder / "cut.png", np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    )
    whole.write_bytes(whole.read_bytes()[:3000])
    with pytest.raises(ValueError, match=r"reference 'cut': cut.png is no picture") as caught:
        reference_pictures(people("s BREAK BREAK a <ref:cut>"), None)
    assert str(folder) not in str(caught.value)


def test_an_edited_picture_runs_again(folder):
    before = files_state(people(TWO))
    save(folder / "ann.png", colour(0, 255, 0))
    import os

    os.utime(folder / "ann.png", (1, 1))
    assert files_state(people(TWO)) != before


class Words:
    """A text encoder of a model's width; it remembers the pictures that it was shown."""

    def __init__(self, width: int):
        self.width, self.shown = width, []

    def tokenize(self, text: str, images=(), **more) -> dict:
        self.shown += [(text, image.shape) for image in images]
        return {"model": [[(text, 1.0)]]}

    def encode_from_tokens_scheduled(self, tokens: dict) -> list:
        length = 4 + len(tokens["model"][0][0][0]) % 5
        return [[torch.ones(1, length, self.width), {}]]


class Vae:
    """16 pixels or 8 to a place of the latent."""

    def __init__(self, *shape, by: int = 8):
        self.shape, self.by, self.seen = shape, by, []

    def encode(self, pixels):
        self.seen.append(tuple(pixels.shape))
        return torch.zeros(1, *self.shape, *(side // self.by for side in pixels.shape[1:3]))


def composed(name, vae, text=TWO, **more):
    family = small.FAMILIES[name]
    clip = Words(family.width)
    model = family.make()
    return clip, compose(
        model, clip, text=text, negative="bad", settings=Settings(**more), readers=Readers(vae)
    )  # fmt: skip


@pytest.mark.parametrize(
    ("name", "vae", "encoded"),
    [
        ("flux", Vae(16), (1, 880, 1184, 3)),  # the nearest of Kontext's own sizes
        ("flux2", Vae(128, by=16), (1, 880, 1184, 3)),
        ("qwen_image", Vae(16, 1), (1, 880, 1184, 3)),
        ("krea2", Vae(16, 1), (1, 880, 1184, 3)),
    ],
)
def test_a_picture_stands_beside_both_texts_of_its_person(name, vae, encoded):
    clip, people = composed(name, vae)
    ann, other = people.people
    for side in (ann.positive, ann.negative):
        ((_, values),) = side.conditioning
        assert len(values["reference_latents"]) == 1
        assert values.get("reference_latents_method") == ("index" if name == "krea2" else None)
    for text in (other.positive, other.negative, people.base, people.negative):
        assert "reference_latents" not in text.conditioning[0][1]
    assert vae.seen == [encoded]  # once for both texts
    assert "person 1: a woman [no LoRA, a reference picture]" in people.notes
    told = [text for text, _ in clip.shown]
    if name == "qwen_image":  # whose text encoder sees the picture
        assert [text.partition("<|vision_end|>")[2] for text in told] == ["a woman, photo", "bad"]
        assert all(shape == (1, 333, 443, 3) for _, shape in clip.shown)
    else:
        assert told == []


@pytest.mark.parametrize("name", ["z_image", "sd3", "anima", "chroma", "lumina2"])
def test_a_family_without_references_says_who_has_them(name):
    with pytest.raises(ValueError, match=r"takes no reference.*Krea 2, Flux.1 and Flux.2, Qwen-I"):
        composed(name, Vae(16))


def test_without_the_right_vae_it_is_said():
    with pytest.raises(ValueError, match="Input 'vae' is not connected"):
        composed("flux", None)
    with pytest.raises(ValueError, match="Input 'vae' makes latents of 4 channels and 2 axes"):
        composed("flux", Vae(4))
    composed("flux", None, text="s BREAK BREAK a")  # not needed without a picture


def test_a_missing_picture_can_be_skipped_like_a_lora():
    _, people = composed("flux", None, text="s BREAK BREAK a <ref:zoe>", skip_missing=True)
    assert any("the reference of person 1 is no file" in line for line in people.notes)
