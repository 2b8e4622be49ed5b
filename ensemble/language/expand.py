"""A short prompt written out by a language model that ComfyUI has loaded."""

from ..prompt.tags import take_tags

TASK = (
    "Rewrite this prompt for an image generator in one line of comma separated phrases. Keep all "
    "it says, add light, lens and detail, explain nothing.\nPrompt: {prompt}\nRewritten:"
)
MAX_TOKENS = 200


def expand(language_model: object, prompt: str, seed: int) -> str:
    """`prompt` rewritten in one line by core's Generate Text, as it was if that comes back empty.

    Of a prompt with BREAKs the scene is rewritten; LoRA tags keep their place behind it.
    """
    from comfy_extras.nodes_textgen import TextGenerate

    scene, split, people = prompt.partition("BREAK")
    words, tags = take_tags(scene)
    sampling = {
        "sampling_mode": "on",
        "temperature": 0.7,
        "top_k": 64,
        "top_p": 0.95,
        "min_p": 0.05,
        "repetition_penalty": 1.05,
        "seed": seed,
    }
    written = TextGenerate.execute(
        clip=language_model,
        prompt=TASK.format(prompt=words),
        max_length=MAX_TOKENS,
        sampling_mode=sampling,
    ).result[0]
    kept = " ".join(scene[tag.start : tag.end] for tag in tags)
    line = " ".join(written.replace("BREAK", " ").split()) or words
    return " ".join(filter(None, (line, kept, split + people)))
