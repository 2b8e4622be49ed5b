"""Emphasis: A1111's arithmetic against its closed formula, ComfyUI's against its own node."""

import math

import pytest
import torch
from ensemble_portraits.ensemble.prompt.emphasis import Weights
from ensemble_portraits.ensemble.regional.encode import emphasis, encode
from ensemble_portraits.ensemble.regional.families import OTHER
from ensemble_portraits.ensemble.regional.families.unet import STABLE_DIFFUSION


@pytest.fixture(scope="module")
def clip():
    import comfy.sd
    import folder_paths

    path = folder_paths.get_full_path_or_raise("checkpoints", "small_sd15.safetensors")
    with torch.no_grad():
        clip = comfy.sd.load_checkpoint_guess_config(path, output_vae=False)[1]
        for name, parameter in clip.cond_stage_model.named_parameters():
            if name.endswith("final_layer_norm.bias"):
                parameter.fill_(
                    0.1
                )  # a trained encoder's vectors have a mean; a random one's do not
    return clip


def plain(clip, text: str) -> torch.Tensor:
    return clip.encode_from_tokens_scheduled(clip.tokenize(text))[0][0]


def test_a1111_is_its_formula(clip):
    """z w mean(z) / mean(z w), the mean over the chunk of 77 (A1111, EmphasisOriginal)."""
    z = plain(clip, "a red hat and shoes")
    weights = torch.ones(77)
    weights[2] = 1.1 * 1.3  # token 0 starts the text, "a" is 1, "red" 2, "hat" 3
    weights[3], weights[5] = 1.3, 1 / 1.1
    wanted = z * weights[None, :, None]
    wanted = wanted * z.double().mean() / wanted.double().mean()
    got = encode(clip, "a ((red) hat:1.3) and [shoes]", Weights.A1111, STABLE_DIFFUSION)[0][0]
    assert torch.allclose(got, wanted.float(), rtol=1e-4, atol=1e-5)


def test_a1111_treats_every_chunk_alone(clip):
    long = " ".join(["word"] * 80)
    z = plain(clip, f"red {long}")
    got = encode(clip, f"(red:1.4) {long}", Weights.A1111, STABLE_DIFFUSION)[0][0]
    assert z.shape == got.shape == (1, 154, 768)
    assert torch.allclose(got[:, 77:], z[:, 77:], rtol=1e-5)
    assert not torch.allclose(got[:, :77], z[:, :77])


def test_comfy_is_cores_own_reading(clip):
    text = "a (red:1.3) hat"
    assert torch.equal(encode(clip, text, Weights.COMFY, STABLE_DIFFUSION)[0][0], plain(clip, text))


def test_off_reads_brackets_as_text(clip):
    got = encode(clip, "a (red:1.3) hat", Weights.OFF, STABLE_DIFFUSION)[0][0]
    assert torch.equal(got, plain(clip, r"a \(red:1.3\) hat"))
    assert not torch.allclose(got, plain(clip, "a red hat"))


def test_without_emphasis_all_readings_agree(clip):
    results = [encode(clip, "a red hat", mode, STABLE_DIFFUSION)[0][0] for mode in Weights]
    assert all(torch.equal(results[0], other) for other in results[1:])


def test_emphasis_keeps_the_mean():
    chunk = torch.randn(1, 77, 16, generator=torch.Generator().manual_seed(1)) + 0.5
    weights = torch.linspace(0.5, 1.5, 77)
    out = emphasis(chunk, weights)
    assert math.isclose(float(out.mean()), float(chunk.mean()), rel_tol=1e-5)
    ratio = out[0, 10] / chunk[0, 10] / (out[0, 60] / chunk[0, 60])
    assert torch.allclose(ratio, weights[10] / weights[60], rtol=1e-4)


def test_vectors_without_a_mean_are_only_multiplied():
    chunk = torch.tensor([[[1.0, -1.0], [2.0, -2.0]]])
    assert torch.equal(
        emphasis(chunk, torch.tensor([1.0, 1.5])), chunk * torch.tensor([[[1], [1.5]]])
    )


def test_other_text_encoders_are_named():
    class Other:
        def tokenize(self, text):
            return {"t5xxl": [[(1, 1.2), (2, 1.0)]]}

    with pytest.raises(ValueError, match=r"t5xxl.*weights = comfy"):
        encode(Other(), "(x:1.2)", Weights.A1111, STABLE_DIFFUSION)  # type: ignore[arg-type]


class WordsOnly:
    """A CLIP of core with its real tokenizer, which hands out what it would have encoded."""

    def __init__(self, tokenizer):
        self.tokenizer = tokenizer

    def tokenize(self, text: str) -> dict:
        return self.tokenizer.tokenize_with_weights(text, False)

    def encode_from_tokens_scheduled(self, tokens: dict) -> list:
        (chunks,) = tokens.values()
        return [[[token[0] for token in chunks[0]], {}]]


@pytest.fixture(scope="module", params=["z_image", "qwen_image", "krea2", "flux2_klein"])
def language_model(request):
    import comfy.text_encoders.flux
    import comfy.text_encoders.krea2
    import comfy.text_encoders.qwen_image
    import comfy.text_encoders.z_image

    kind = {
        "z_image": comfy.text_encoders.z_image.ZImageTokenizer,
        "qwen_image": comfy.text_encoders.qwen_image.QwenImageTokenizer,
        "krea2": comfy.text_encoders.krea2.Krea2Tokenizer,
        "flux2_klein": comfy.text_encoders.flux.KleinTokenizer,
    }[request.param]
    return WordsOnly(kind())


@pytest.mark.parametrize(("weights", "text", "words"), [
    (Weights.A1111, "a (red:1.3) [big] ((hat))", "a red big hat"),
    (Weights.A1111, r"a \(red:1.3\) hat", "a (red:1.3) hat"),
    (Weights.COMFY, "a (red:1.3) [big] ((hat))", "a red [big] hat"),
    (Weights.COMFY, r"a \(red\) (hat: blue)", "a (red) hat: blue"),
    (Weights.OFF, "a (red:1.3) hat", "a (red:1.3) hat"),
    (Weights.A1111, "a red hat", "a red hat"),
])  # fmt: skip
def test_language_models_read_the_words_without_brackets(language_model, weights, text, words):
    """Core's tokenizers of these models take brackets as text, without a word about it."""
    wanted = language_model.encode_from_tokens_scheduled(language_model.tokenize(words))
    assert encode(language_model, text, weights, OTHER) == wanted
