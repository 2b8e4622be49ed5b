"""Safety checker and translator folders, small and random."""

from pathlib import Path

import torch

from .checkpoint import config


@torch.no_grad()
def make_safety_checker(folder: Path, threshold: float, pictures: list | None = None) -> None:
    """`threshold` on the cosine above which a concept counts: -1 flags all, 1 nothing.

    With `pictures` (uint8 arrays) it is set so that some of them are flagged.
    """
    from transformers import CLIPImageProcessor

    from ensemble.safety.net import SafetyChecker

    torch.manual_seed(0)
    net = SafetyChecker(config("safety_checker"))
    # transformers' own start values give all pictures nearly the same embedding.
    net.vision_model.embeddings.patch_embedding.weight.normal_()
    net.concept_embeds.normal_()
    net.special_care_embeds.normal_()
    net.concept_embeds_weights.fill_(threshold)
    net.special_care_embeds_weights.fill_(1)
    processor = CLIPImageProcessor(
        size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}
    )
    if pictures is not None:
        pixels = processor(pictures, return_tensors="pt").pixel_values
        embeds = net.visual_projection(net.vision_model(pixels)[1])
        cosines = torch.nn.functional.cosine_similarity(
            embeds[:, None], net.concept_embeds[None], dim=-1
        )
        net.concept_embeds_weights.fill_(1)
        net.concept_embeds_weights[0] = cosines[:, 0].mean()
    net.save_pretrained(folder)
    processor.save_pretrained(folder)


def make_translator(folder: Path) -> None:
    """mBART with mBART-50's tokenizer class over a vocabulary of single characters."""
    from transformers import MBart50Tokenizer, MBartForConditionalGeneration

    torch.manual_seed(0)
    letters = "▁abcdefghijklmnopqrstuvwxyzäöüéñ"
    vocab = [("<s>", 0.0), ("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    tokenizer = MBart50Tokenizer(vocab=vocab + [(letter, -3.0) for letter in letters])
    tokenizer.save_pretrained(folder)
    shape = config("translator", vocab_size=len(tokenizer))
    MBartForConditionalGeneration(shape).save_pretrained(folder)


def safety_checker(models: Path) -> None:
    """safety_checker/small: flags nothing"""
    make_safety_checker(models / "safety_checker" / "small", 1.0)


def translator(models: Path) -> None:
    """translation/small: mBART over single letters"""
    make_translator(models / "translation" / "small")


MAKERS = [safety_checker, translator]
