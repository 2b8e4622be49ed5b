"""The language model's part of EnsembleEnhancePrompt, on core's real classes."""

import pytest
import torch
from ensemble_portraits.ensemble.language import expand as module
from ensemble_portraits.ensemble.language.expand import TASK, expand

from .language_model import SMALL, clip_of, library_model

# Beyond that random weights run into steps that rounding decides.
TOKENS = 24


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setattr(module, "MAX_TOKENS", TOKENS)


@pytest.fixture(scope="module")
def library():
    torch.manual_seed(3)
    model = library_model(SMALL)
    with torch.no_grad():
        # The winner of every step by a wide margin: sampling cannot take another.
        model.model.embed_tokens.weight.mul_(4000)
        for layer in model.model.layers:
            layer.mlp.down_proj.weight.mul_(30000)
            layer.self_attn.o_proj.weight.mul_(30000)
    return model


@pytest.fixture(scope="module")
def clip(library):
    weights = {k: v for k, v in library.state_dict().items() if k != "lm_head.weight"}
    return clip_of(weights, SMALL)


def librarys_answer(library, clip, prompt: str, penalty: float) -> str:
    """transformers' generate over the same tokens; its penalty would count the prompt's too."""
    from transformers import LogitsProcessorList

    tokens = clip.tokenize(prompt, min_length=1)["qwen3_06b"][0]
    ids = torch.tensor([[token[0] for token in tokens]])

    def penalise(seen: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        new = seen[0, ids.shape[1] :].unique()
        scores[0, new] = torch.where(
            scores[0, new] < 0, scores[0, new] * penalty, scores[0, new] / penalty
        )
        return scores

    with torch.inference_mode():
        out = library.generate(
            ids,
            do_sample=False,
            max_new_tokens=TOKENS,
            eos_token_id=[151643, 151645],
            pad_token_id=151643,
            logits_processor=LogitsProcessorList([penalise]),
        )
    return clip.decode(out[0, ids.shape[1] :].tolist())


@pytest.mark.parametrize("prompt", ["a woman at the sea", "two friends, kodak"])
def test_the_rewritten_line_is_the_librarys(library, clip, prompt):
    answer = librarys_answer(library, clip, TASK.format(prompt=prompt), 1.05)
    expected = " ".join(answer.replace("BREAK", " ").split())
    assert len(expected) > 50
    assert expand(clip, prompt, seed=1) == expected
    assert expand(clip, prompt, seed=2) == expected


def test_people_and_tags_stay_and_only_the_scene_is_rewritten(clip):
    text = "a park <lora:mood:0.5> BREAK kodak BREAK ann <lora:a:1> BREAK bob"
    scene = expand(clip, "a park", seed=1)
    assert expand(clip, text, seed=1) == (
        f"{scene} <lora:mood:0.5> BREAK kodak BREAK ann <lora:a:1> BREAK bob"
    )
