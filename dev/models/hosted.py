"""Safety checker and translator folders, small and random."""

from pathlib import Path

import torch
from safetensors.torch import save_file


class _Checker(torch.nn.Module):
    """The layout of diffusers' StableDiffusionSafetyChecker; the tests hold it to that class."""

    def __init__(self, config) -> None:
        from transformers import CLIPVisionModel

        super().__init__()
        size = config.projection_dim
        self.vision_model = CLIPVisionModel(config.vision_config)
        self.visual_projection = torch.nn.Linear(config.vision_config.hidden_size, size, bias=False)
        for name, shape in {"concept_embeds": (17, size), "special_care_embeds": (3, size)}.items():
            self.register_parameter(name, torch.nn.Parameter(torch.randn(shape)))
            self.register_parameter(f"{name}_weights", torch.nn.Parameter(torch.ones(shape[0])))


@torch.no_grad()
def make_safety_checker(folder: Path, threshold: float, pictures: list | None = None) -> None:
    """`threshold` on the cosine above which a concept counts: -1 flags all, 1 nothing.

    With `pictures` (uint8 arrays) it is set so that some of them are flagged.
    """
    from transformers import CLIPConfig, CLIPImageProcessor

    torch.manual_seed(0)
    small = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1}
    small |= {"num_attention_heads": 2}
    config = CLIPConfig(
        vision_config={**small, "image_size": 32, "patch_size": 8},
        text_config={**small, "vocab_size": 100},
        projection_dim=16,
        architectures=["StableDiffusionSafetyChecker"],
    )
    net = _Checker(config)
    # transformers' own start values give all pictures nearly the same embedding.
    net.vision_model.get_input_embeddings().weight.normal_()
    net.concept_embeds_weights.fill_(threshold)
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
    config.save_pretrained(folder)
    processor.save_pretrained(folder)
    save_file(net.state_dict(), folder / "model.safetensors", {"format": "pt"})


def make_translator(folder: Path) -> None:
    """mBART with mBART-50's tokenizer class over a vocabulary of single characters."""
    from transformers import MBart50Tokenizer, MBartConfig, MBartForConditionalGeneration

    torch.manual_seed(0)
    letters = "▁abcdefghijklmnopqrstuvwxyzäöüéñ"
    vocab = [("<s>", 0.0), ("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    tokenizer = MBart50Tokenizer(vocab=vocab + [(letter, -3.0) for letter in letters])
    tokenizer.save_pretrained(folder)
    config = MBartConfig(
        vocab_size=len(tokenizer), d_model=32, encoder_layers=1, decoder_layers=1,
        encoder_attention_heads=2, decoder_attention_heads=2, encoder_ffn_dim=32,
        decoder_ffn_dim=32, max_position_embeddings=128, max_length=24,
    )  # fmt: skip
    MBartForConditionalGeneration(config).save_pretrained(folder)


def safety_checker(models: Path) -> None:
    """safety_checker/small: flags nothing"""
    make_safety_checker(models / "safety_checker" / "small", 1.0)


def translator(models: Path) -> None:
    """translation/small: mBART over single letters"""
    make_translator(models / "translation" / "small")


MAKERS = [safety_checker, translator]
