"""Training lowers the losses, and slices add up to one run."""

import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from dev.cache import ROOT
from dolls.compact import read_compact
from dolls.networks.autoencoder import Autoencoder
from dolls.networks.factors import Low
from dolls.networks.unet import ControlNet, UNet, lora_layers
from dolls.training.batches import Batches, Mix
from dolls.training.data import Scenes
from dolls.training.loop import DivergedError, Plan, Progress, Slice, Watcher, train
from dolls.training.render import jobs, render
from dolls.training.stages import Crops, autoencoder_loss, noise_loss, trained
from dolls.training.state import State

pytestmark = pytest.mark.long

ENDLESS = 1e9


@pytest.fixture(scope="module")
def small() -> Scenes:
    """Real scenes at a quarter of their size; means of 8x8 pixels stand for the autoencoder."""
    rendered = [render(job) for job in jobs(12, 0)["portrait"]]
    pictures = torch.from_numpy(np.stack([each.picture for each in rendered]))
    planes = torch.nn.functional.avg_pool2d(pictures.permute(0, 3, 1, 2).float() / 127.5 - 1, 32)
    latents = torch.cat([planes, planes.mean(1, keepdim=True)], 1).half()
    poses = [
        Image.fromarray(each.pose).resize((64, 96), Image.Resampling.NEAREST) for each in rendered
    ]
    ids, boxes = (
        torch.from_numpy(np.stack([getattr(each, name) for each in rendered]))
        for name in ("tokens", "boxes")
    )
    return Scenes(latents, torch.from_numpy(np.stack([np.asarray(p) for p in poses])), ids, boxes)


def fit(parameters, loss_of, steps: int, rate: float) -> tuple[float, float]:
    """Mean loss over the first three steps' batches before and after training on those."""

    def measured() -> float:
        with torch.no_grad():
            return float(np.mean([float(loss_of(step)) for step in range(3)]))

    before = measured()
    watcher = Watcher(lambda progress: None, lambda line: None)
    plan = Plan(0, rate, steps, warm=2)
    assert train(
        parameters, lambda step: loss_of(step % 3), plan, Progress("x"), Slice(ENDLESS), watcher
    )
    return before, measured()


def test_the_autoencoder_learns():
    torch.manual_seed(0)
    pictures = torch.from_numpy(np.stack([render(j).picture for j in jobs(6, 0)["square"]]))
    crops, vae = Crops([pictures], 2, 1, side=32), Autoencoder()
    vae.calibrate(crops.draw(0))
    before, after = fit(trained(vae), autoencoder_loss(vae, crops), 30, 2e-3)
    assert after < 0.8 * before


def test_the_unet_learns(small, text):
    torch.manual_seed(0)
    unet = UNet()
    batches = Batches({"portrait": small}, text, Mix(2, drop=0.1), seed=1)
    before, after = fit(trained(unet), noise_loss(unet, batches), 12, 1e-3)
    assert after < 0.85 * before


def test_the_control_net_learns_and_the_unet_stays(small, text):
    torch.manual_seed(0)
    unet, control = UNet(), ControlNet()
    torch.nn.init.normal_(unet.out[2].weight, std=0.02)
    unet.requires_grad_(False)
    control.start_from(unet.state_dict())
    control.tie(unet.state_dict())
    kept = {key: value.clone() for key, value in unet.state_dict().items()}
    batches = Batches({"portrait": small}, text, Mix(2, drop=0.25, hints=True), seed=1)
    before, after = fit(trained(control), noise_loss(unet, batches, control), 12, 3e-3)
    assert after < 0.9 * before
    assert all(torch.equal(value, kept[key]) for key, value in unet.state_dict().items())
    own = control.state_dict()
    assert torch.equal(own["time_embed.0.a"], kept["time_embed.0.a"])
    assert not torch.equal(own["input_blocks.0.0.weight"], kept["input_blocks.0.0.weight"])


def test_a_lora_learns_and_the_unet_stays(small, text):
    torch.manual_seed(0)
    unet = UNet().requires_grad_(False)
    torch.nn.init.normal_(unet.out[2].weight, std=0.02)
    for _, layer in lora_layers(unet):
        torch.nn.init.normal_(layer.b, std=0.1)
        layer.b.requires_grad_(False)
        layer.add_lora(8, torch.Generator().manual_seed(1))
    assert {p.shape[0] for _, layer in lora_layers(unet) for p in (layer.lora_a,)} == {8}
    batches = Batches({"portrait": small}, text, Mix(2, drop=0.05), seed=1)
    before, after = fit(trained(unet), noise_loss(unet, batches), 12, 5e-3)
    assert after < 0.9 * before


class Ticks:
    """A clock that goes on by one at every look."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 1.0
        return self.now


def little_state() -> State:
    torch.manual_seed(0)
    nets = {name: Low(6, 5, 3) for name in ("vae", "unet", "control")}
    return State(nets, torch.device("cpu"))


def little_loss(net):
    """Noisy, as a batch is; from the step alone."""

    def loss(step: int) -> torch.Tensor:
        generator = torch.Generator().manual_seed(step)
        x = torch.randn(8, 6, generator=generator)
        return (net(x) - x[:, :5] * torch.arange(5)).square().mean()

    return loss


def little_run(state: State, folder, ticks: float, averaged: bool) -> bool:
    net, progress = state.nets["unet"], state.begin("unet")

    def save(progress: Progress) -> None:
        state.spent["unet"], state.steps["unet"] = progress.spent, progress.step
        state.save(folder, folder)

    plan = Plan(0, 0.05, steps=60, warm=5, averaged=averaged)
    watcher = Watcher(save, lambda line: None)
    slice_ = Slice(ticks, Ticks())
    return train(list(net.parameters()), little_loss(net), plan, progress, slice_, watcher)


@pytest.mark.parametrize("averaged", [False, True])
def test_slices_add_up_to_one_run(tmp_path, averaged):
    whole = little_state()
    (tmp_path / "whole").mkdir()
    assert little_run(whole, tmp_path / "whole", ENDLESS, averaged)

    (tmp_path / "sliced").mkdir()
    slices = 0
    while True:
        state = little_state()
        assert state.load(tmp_path / "sliced") == (slices > 0)
        slices += 1
        if little_run(state, tmp_path / "sliced", 60, averaged):
            break
    assert slices > 2
    assert state.steps == whole.steps == {"vae": 0, "unet": 60, "control": 0}
    for key, value in whole.nets["unet"].state_dict().items():
        assert torch.equal(value, state.nets["unet"].state_dict()[key])


def test_a_slice_that_is_stopped_saves_what_it_did(tmp_path):
    state = little_state()
    time_slice = Slice(ENDLESS, Ticks())
    net, progress = state.nets["unet"], state.begin("unet")
    loss = little_loss(net)

    def stopping(step: int) -> torch.Tensor:
        if step == 9:
            time_slice.stop()
        return loss(step)

    watcher = Watcher(lambda progress: state.save(tmp_path, tmp_path), lambda line: None)
    plan = Plan(0, 0.05, steps=60)
    assert not train(list(net.parameters()), stopping, plan, progress, time_slice, watcher)
    again = little_state()
    assert again.load(tmp_path) and again.begin("unet").step == 10


def test_a_compact_file_goes_on_where_it_was(tmp_path):
    """Without the optimiser: the same weights as float16 has them, the same place in the budget."""
    state = little_state()
    assert not little_run(state, tmp_path, 60, averaged=True)
    restored = little_state()
    restored.restore(tmp_path / "compact.safetensors")
    assert set(read_compact(tmp_path / "compact.safetensors").parts) == {"unet"}
    progress = restored.begin("unet")
    assert 0 < progress.step == state.steps["unet"] and progress.spent == state.spent["unet"]
    assert progress.optimizer is None
    for key, value in state.nets["unet"].state_dict().items():
        assert torch.equal(restored.nets["unet"].state_dict()[key], value.half().float())
    (tmp_path / "on").mkdir()
    assert little_run(restored, tmp_path / "on", ENDLESS, averaged=True)
    loss = little_loss(restored.nets["unet"])
    before = little_loss(state.nets["unet"])
    assert sum(float(loss(1000 + i).detach()) for i in range(9)) < sum(
        float(before(1000 + i).detach()) for i in range(9)
    )


def test_the_compact_file_leaves_out_what_the_control_net_shares_and_what_is_untrained():
    nets = {"vae": Low(6, 5, 3), "unet": UNet(), "control": ControlNet()}
    state = State(nets, torch.device("cpu"))
    assert state.compact().parts == {}
    state.spent["control"] = 1.0
    kept, whole = state.compact().parts["control"], nets["control"].state_dict()
    shared = set(whole) - set(kept)
    assert "input_blocks.0.0.weight" in kept and "zero_convs.0.0.b" in kept
    assert shared < set(nets["unet"].state_dict())
    assert any("transformer_blocks" in key for key in shared)


def test_a_loss_that_is_no_number_does_not_spoil_what_was_saved(tmp_path):
    state = little_state()
    assert not little_run(state, tmp_path, 60, averaged=False)
    good = (tmp_path / "state.pt").read_bytes()
    net, progress = state.nets["unet"], state.begin("unet")
    loss = little_loss(net)
    watcher = Watcher(lambda progress: state.save(tmp_path, tmp_path), lambda line: None)
    with pytest.raises(DivergedError, match="unet: no number any more"):
        train(
            list(net.parameters()), lambda step: loss(step) * float("nan"),
            Plan(0, 0.05, steps=60), progress, Slice(ENDLESS), watcher,
        )  # fmt: skip
    assert (tmp_path / "state.pt").read_bytes() == good


def test_the_rate_falls_with_the_budget_and_rises_after_a_new_optimiser():
    plan = Plan(seconds=100, rate=1.0, warm=10)
    middle = Progress("x", step=500, warm=500, spent=50.0)
    assert plan.rate_now(middle) == pytest.approx(0.52)
    assert plan.rate_now(replace(middle, spent=100.0)) == pytest.approx(0.04)
    assert plan.rate_now(replace(middle, warm=4)) == pytest.approx(0.26)


def command(folder, *more: str) -> list[str]:
    return [
        sys.executable, "-m", "dolls.train", "--work", str(folder / "work"), "--out",
        str(folder / "out"), "--pictures", "60", "--batch", "2", "--autoencoder-batch", "2",
        "--workers", "2", *more,
    ]  # fmt: skip


@pytest.mark.slow
def test_the_whole_training_in_small_and_its_files(tmp_path):
    """Every stage, on the real scenes, from the command line; killed once on the way."""
    first = subprocess.Popen(command(tmp_path, "--steps", "4"), cwd=ROOT)
    saved = tmp_path / "work" / "state.pt"
    for _ in range(600):
        if saved.exists():
            break
        time.sleep(0.5)
    first.send_signal(signal.SIGTERM)
    assert first.wait(300) == 0
    log = (tmp_path / "out" / "log.txt").read_text()
    assert "run again" in log
    second = subprocess.run(command(tmp_path, "--steps", "4", "--limit", "60"), cwd=ROOT)
    assert second.returncode == 0
    assert "everything is trained" in (tmp_path / "out" / "log.txt").read_text()
    compact = read_compact(tmp_path / "out" / "compact.safetensors")
    assert compact.done == ("vae", "unet", "control", "loras")
    assert {f"lora.{i}" for i in range(6)} < set(compact.parts)
    # Two identities and nets of the full size; 25 MB is what the repository may hold.
    assert (tmp_path / "out" / "compact.safetensors").stat().st_size < 25e6
    for name in ("vae", "unet_portrait", "control_portrait", "lora5_portrait"):
        assert (tmp_path / "out" / f"{name}.png").exists()
