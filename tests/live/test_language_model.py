"""EnsembleEnhancePrompt with a language model file of full size, through core's Load CLIP."""

import pytest

from tests.language.language_model import write_says

pytestmark = pytest.mark.slow


def test_a_language_model_rewrites_the_prompt(server):
    from comfy.text_encoders.anima import Qwen3Tokenizer

    tokenizer = Qwen3Tokenizer().tokenizer
    # The task ends with a colon; what the model says after it is in its weights.
    said = [tokenizer.encode(text)[0] for text in (":", " golden", " light", " everywhere")]
    folder = server.base / "models" / "text_encoders"
    folder.mkdir(exist_ok=True)
    file = folder / "says.safetensors"
    try:
        write_says(file, said)
        result = server.run(
            {
                "lm": {
                    "class_type": "CLIPLoader",
                    "inputs": {"clip_name": file.name, "type": "stable_diffusion"},
                },
                "enhance": {
                    "class_type": "EnsembleEnhancePrompt",
                    "inputs": {
                        "prompt": "a park <lora:mood:0.5> BREAK kodak BREAK ann <lora:a:1>",
                        "negative": "hat",
                        "style": "flat",
                        "language_model": ["lm", 0],
                        "seed": 3,
                    },
                },
                "show": {"class_type": "PreviewAny", "inputs": {"source": ["enhance", 0]}},
            }
        )
    finally:
        file.unlink(missing_ok=True)
    assert result.status == "success", result.error
    [text] = result.outputs["show"]["text"]
    assert text.startswith("golden light everywhere <lora:mood:0.5> BREAK kodak, flat vector")
    assert text.endswith("BREAK ann <lora:a:1>")
