"""The networks against others' code, and against themselves multiplied out."""

import pytest
import torch
import torch.nn.functional as F

from dolls.export import text_checkpoint
from dolls.networks.layers import Context, Norm
from dolls.networks.layout import whole
from dolls.networks.sampler import alphas_cumprod, ddim
from dolls.networks.text import SHORT
from dolls.networks.unet import ControlNet, UNet, lora_layers, strengthen, timestep_embedding
from dolls.training.batches import region_weights
from dolls.world.words import END, LENGTH, START, VOCABULARY, tokens

pytestmark = pytest.mark.long


def close(ours: torch.Tensor, theirs: torch.Tensor, share: float) -> bool:
    """The largest difference is below `share` of their spread."""
    ours, theirs = ours.detach(), theirs.detach()
    return float((ours - theirs).abs().max()) < share * float(theirs.std())


def test_a_word_is_the_token_that_clip_gives_it():
    from comfy.sd1_clip import SDTokenizer

    clip = SDTokenizer()
    for word in VOCABULARY:
        ids = [token for token, _ in clip.tokenize_with_weights(word)[0]]
        assert ids == tokens(word), word
    whole = "two people, a man with short red hair and a blue striped shirt, ohwx woman, beach"
    ids = [token for token, _ in clip.tokenize_with_weights(whole)[0]]
    assert ids == tokens(whole)


def test_a_word_that_is_not_in_the_vocabulary_is_refused_and_a_long_caption_cut():
    with pytest.raises(KeyError, match="astronaut"):
        tokens("a astronaut")
    ids = tokens("hair " * 100)
    assert len(ids) == LENGTH and ids[0] == START and ids[-1] == END and ids[-2] != END


def test_the_text_encoder_is_clips(text):
    """transformers' CLIPTextModel with the exported weights, all twelve layers of it."""
    from transformers import CLIPTextConfig, CLIPTextModel

    config = CLIPTextConfig(
        vocab_size=49408, hidden_size=768, intermediate_size=3072, num_hidden_layers=12,
        num_attention_heads=12, max_position_embeddings=77, hidden_act="quick_gelu",
    )  # fmt: skip
    with torch.device("meta"):
        clip = CLIPTextModel(config)
    names = clip.state_dict()
    prefix = "text_model." if next(iter(names)).startswith("text_model.") else ""
    state = {prefix + key: value.half().float() for key, value in text_checkpoint().items()}
    clip.load_state_dict(state, strict=True, assign=True)
    for module in clip.modules():  # a buffer that no checkpoint holds
        if hasattr(module, "position_ids"):
            module.position_ids = torch.arange(77)[None]
    texts = ["", "a woman with long red hair and a green striped shirt, glasses, beach"]
    ids = torch.tensor([tokens(each) for each in texts])
    with torch.no_grad():
        theirs = clip.eval()(ids).last_hidden_state
    assert close(text(ids), theirs, 1e-4)


def test_a_word_knows_the_three_before_it(text):
    """'red' changes what the three words after it say, and nothing else."""
    ids = [
        torch.tensor(tokens(f"a woman with long {colour} hair and a blue shirt"))
        for colour in ("red", "black")
    ]
    one, two = (text(each[None])[0] for each in ids)
    changed = (one - two).abs().amax(-1) > 0.05
    assert changed.nonzero().flatten().tolist() == [5, 6, 7, 8]


def test_norm_is_group_norm_and_keeps_its_type_under_autocast():
    norm = Norm(whole(64))
    torch.nn.init.normal_(norm.weight)
    x = torch.randn(2, 64, 5, 5)
    theirs = F.group_norm(x, 32, norm.weight, norm.bias)
    assert torch.equal(norm(x), theirs)
    with torch.autocast("cpu", torch.bfloat16):
        ours = norm(x.bfloat16())
    assert ours.dtype == torch.bfloat16
    # bfloat16 has 8 bits, of input, weight and output.
    assert torch.allclose(ours.float(), theirs, rtol=0.03, atol=0.03)


def test_schedule_and_time_are_core_comfyuis():
    import comfy.model_sampling
    from comfy.ldm.modules.diffusionmodules.util import timestep_embedding as core

    sigmas = comfy.model_sampling.ModelSamplingDiscrete().sigmas
    kept = alphas_cumprod("cpu")
    assert torch.allclose(((1 - kept) / kept).sqrt(), sigmas, rtol=1e-4)
    t = torch.tensor([0, 17, 999])
    assert torch.allclose(timestep_embedding(t), core(t, 320), atol=1e-5)


def test_a_short_text_in_two_pieces_is_the_whole_one(text):
    """The longest that a person needs: behind it stands what stands behind every other."""
    long = "a woman with short blonde hair and a orange striped shirt, orange skirt, blue hat, "
    long += "glasses, pale skin, arms crossed, night city"
    ids = torch.tensor([[tokens(each) for each in ("", "a man, beach", long)]])
    assert len(long.replace(",", " ,").split()) == SHORT - 4
    ctx = text.context(ids, torch.ones(1, 3, 2, 2))
    assert ctx.text.shape[2] == SHORT
    whole_text = torch.cat([ctx.text, ctx.tail.expand(1, 3, -1, -1)], 2)
    assert close(whole_text, text(ids), 1e-5)


def test_regions_with_the_same_text_are_no_regions(nets, text):
    """However weights that sum to 1 blend equal texts."""
    x, t = torch.randn(1, 4, 8, 12), torch.tensor([300])
    one = torch.tensor([[tokens("a man, beach")]])
    boxes = torch.tensor([[[0.1, 0.1, 0.4, 0.9], [0.5, 0.2, 0.9, 1.0], [0.0, 0.0, 0.0, 0.0]]])
    weights = region_weights(boxes, 8, 12, grow=0.05, base=0.2)
    with torch.no_grad():
        plain = nets["unet"](x, t, text.context(one))
        blended = nets["unet"](x, t, text.context(one.expand(-1, 4, -1), weights))
    assert close(blended, plain, 1e-3)


def test_a_control_net_that_starts_changes_nothing_and_one_that_learnt_does(nets, text):
    fresh = ControlNet()
    fresh.start_from(nets["unet"].state_dict())
    x, t, hint = torch.randn(1, 4, 8, 8), torch.tensor([300]), torch.rand(1, 3, 64, 64)
    ctx = text.context(torch.tensor([[tokens("a man")]]))
    with torch.no_grad():
        plain = nets["unet"](x, t, ctx)
        assert torch.equal(nets["unet"](x, t, ctx, fresh(x, hint, t, ctx)), plain)
        assert not close(nets["unet"](x, t, ctx, nets["control"](x, hint, t, ctx)), plain, 0.01)


def test_the_sampler_goes_where_a_perfect_denoiser_points():
    """The noise that leads to one given latent, predicted exactly, ends at that latent."""
    target = torch.randn(1, 4, 4, 4)
    kept = alphas_cumprod("cpu")

    def perfect(x, t, ctx, more):
        a = kept[t][:, None, None, None]
        return (x - a.sqrt() * target) / (1 - a).sqrt()

    ctx = Context(torch.zeros(1, 1, 77, 768), torch.zeros(0, 768))
    found = ddim(perfect, ctx, ctx, (4, 4), steps=5, cfg=3.0)
    assert close(found, target, 1e-3)


def test_a_stronger_lora_adds_so_much_more():
    unet, generator = UNet(), torch.Generator().manual_seed(1)
    for _, layer in lora_layers(unet):
        layer.add_lora(4, generator)
        torch.nn.init.normal_(layer.lora()[1], generator=generator)
    _, layer = next(lora_layers(unet))
    x = torch.randn(3, layer.in_features, generator=generator)
    with torch.no_grad():
        alone = F.linear(x, layer.weight, layer.bias)
        before = layer(x) - alone
        strengthen(unet, 1.4)
        assert before.abs().max() > 0.1
        assert torch.allclose(layer(x) - alone, 1.4 * before, atol=1e-5)
