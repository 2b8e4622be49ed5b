"""EnsembleSampler through POST /prompt: a hosted name as core's custom sampling takes it."""

import numpy as np


def node(kind: str, **inputs) -> dict:
    return {"class_type": kind, "inputs": inputs}


def graph(**more) -> dict:
    settings = {
        "name": "EulerDiscreteScheduler", "karras": True, "steps": 3, "denoise": 1.0,
        "stochastic": False, "allow_approximate": False,
    }  # fmt: skip
    texts = {"positive": ["positive", 0], "negative": ["negative", 0]}
    return {
        "checkpoint": node("CheckpointLoaderSimple", ckpt_name="small_sd15.safetensors"),
        "positive": node("CLIPTextEncode", text="a woman", clip=["checkpoint", 1]),
        "negative": node("CLIPTextEncode", text="blurry", clip=["checkpoint", 1]),
        "latent": node("EmptyLatentImage", width=96, height=64, batch_size=1),
        "pick": node("EnsembleSampler", model=["checkpoint", 0], **{**settings, **more}),
        "sample": node(
            "SamplerCustom", model=["checkpoint", 0], add_noise=True, noise_seed=7, cfg=5.0,
            **texts, sampler=["pick", 0], sigmas=["pick", 1], latent_image=["latent", 0],
        ),
        "decode": node("VAEDecode", samples=["sample", 0], vae=["checkpoint", 2]),
        "save": node("SaveImage", images=["decode", 0], filename_prefix="live/sampler"),
    }  # fmt: skip


def pixels(server, graph: dict) -> np.ndarray:
    result = server.run(graph)
    assert result.status == "success", result.error
    return np.asarray(result.images[-1].convert("RGB")).astype(int)


def test_a_hosted_name_is_the_ksampler_it_stands_for(server):
    core = graph()
    del core["pick"]
    core["sample"] = node(
        "KSampler", model=["checkpoint", 0], positive=["positive", 0], negative=["negative", 0],
        latent_image=["latent", 0], seed=7, steps=3, cfg=5.0, sampler_name="euler",
        scheduler="karras", denoise=1.0,
    )  # fmt: skip
    assert np.array_equal(pixels(server, graph()), pixels(server, core))


def test_a_name_without_equivalent_is_refused_unless_allowed(server):
    status, answer = server.post(graph(name="tcd"))
    assert status == 400 and "no true equivalent" in str(answer["node_errors"])
    status, answer = server.post(graph(name="no such"))
    assert status == 400 and "no such" in str(answer["node_errors"])
    allowed = pixels(server, graph(name="tcd", allow_approximate=True))
    linked = graph(name="tcd", allow_approximate=["yes", 0])
    linked["yes"] = node("PrimitiveBoolean", value=True)
    assert np.array_equal(pixels(server, linked), allowed)
    linked["yes"] = node("PrimitiveBoolean", value=False)
    result = server.run(linked)
    assert result.status == "error" and "no true equivalent" in result.error
