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
from dolls.networks.autoencoder import Autoencoder
from dolls.networks.unet import ControlNet, UNet, lora_layers
from dolls.training.batches import Batches, Mix
from dolls.training.data import Scenes
from dolls.training.loop import DivergedError, Plan, Progress, Slice, Watcher, train
from dolls.training.render import jobs, render
from dolls.training.stages import Crops, Drawn, autoencoder_loss, noise_loss, trained
from dolls.training.state import STAGES, State
from dolls.weights import Note, read_parts

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
    rendered = [render(job) for job in jobs(6, 0, scale=0.5)["square"]]
    pictures, heads = (
        torch.from_numpy(np.stack([getattr(each, name) for each in rendered]))
        for name in ("picture", "heads")
    )
    crops, vae = Crops([Drawn(pictures, heads)], 2, 1, side=32), Autoencoder()
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
    assert torch.equal(own["time_embed.0.weight"], kept["time_embed.0.weight"])
    assert not torch.equal(own["input_blocks.0.0.weight"], kept["input_blocks.0.0.weight"])


def test_a_lora_learns_and_the_unet_stays(small, text):
    torch.manual_seed(0)
    unet = UNet().requires_grad_(False)
    torch.nn.init.normal_(unet.out[2].weight, std=0.02)
    for name, layer in unet.named_modules():
        if name.endswith("proj_out"):
            torch.nn.init.normal_(layer.weight, std=0.1)
    for _, layer in lora_layers(unet):
        layer.add_lora(8, torch.Generator().manual_seed(1))
    assert len(trained(unet)) == 2 * len(list(lora_layers(unet)))
    batches = Batches({"portrait": small}, text, Mix(2, drop=0.05), seed=1)
    before, after = fit(trained(unet), noise_loss(unet, batches), 30, 5e-3)
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
    nets = {name: torch.nn.Linear(6, 5) for name in ("vae", "unet", "control")}
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
        state.note(progress, batch=8)
        state.save(folder)
        state.ship(folder)

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
    for each in (state, whole):
        assert set(each.notes) == {"unet"}
        assert (each.notes["unet"].steps, each.notes["unet"].samples) == (60, 480)
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

    watcher = Watcher(lambda progress: state.save(tmp_path), lambda line: None)
    plan = Plan(0, 0.05, steps=60)
    assert not train(list(net.parameters()), stopping, plan, progress, time_slice, watcher)
    again = little_state()
    assert again.load(tmp_path) and again.begin("unet").step == 10


def test_shipped_weights_go_on_where_they_were(tmp_path):
    """Without the optimiser: the same weights as float16 has them, the same place in the budget."""
    state = little_state()
    assert not little_run(state, tmp_path, 60, averaged=True)
    restored = little_state()
    assert restored.restore(tmp_path) and not little_state().restore(tmp_path / "nothing")
    assert set(read_parts(tmp_path)) == {"unet"}
    progress = restored.begin("unet")
    note = state.notes["unet"]
    assert 0 < progress.step == note.steps and progress.spent == note.seconds
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


def test_a_lora_under_way_is_not_shipped_and_begins_anew(tmp_path):
    state = little_state()
    state.begin("lora_1").step = 7
    state.note(state.begin("lora_1"), batch=8)
    assert state.parts() == {} and state.begin("lora_1").step == 7
    state.loras["lora_1"] = {"x.a": torch.ones(2, 3)}
    state.finish("lora_1")
    state.ship(tmp_path)
    again = little_state()
    assert again.restore(tmp_path) and again.done("lora_1")
    assert again.loras["lora_1"]["x.a"].tolist() == [[1, 1, 1], [1, 1, 1]]


def test_what_the_control_net_shares_and_what_is_untrained_is_not_shipped():
    nets = {"vae": torch.nn.Linear(6, 5), "unet": UNet(), "control": ControlNet()}
    state = State(nets, torch.device("cpu"))
    assert state.parts() == {}
    state.notes["control"] = Note(1, 2, 3.0, False)
    kept, whole = state.parts()["control"].state, nets["control"].state_dict()
    shared = set(whole) - set(kept)
    assert "input_blocks.0.0.weight" in kept and "zero_convs.0.0.weight" in kept
    assert shared < set(nets["unet"].state_dict())
    assert any("transformer_blocks" in key for key in shared)


def test_a_loss_that_is_no_number_does_not_spoil_what_was_saved(tmp_path):
    state = little_state()
    assert not little_run(state, tmp_path, 60, averaged=False)
    good = (tmp_path / "state.pt").read_bytes()
    net, progress = state.nets["unet"], state.begin("unet")
    loss = little_loss(net)
    watcher = Watcher(lambda progress: state.save(tmp_path), lambda line: None)
    with pytest.raises(DivergedError, match="unet: no number any more"):
        train(
            list(net.parameters()), lambda step: loss(step) * float("nan"),
            Plan(0, 0.05, steps=60), progress, Slice(ENDLESS), watcher,
        )  # fmt: skip
    assert (tmp_path / "state.pt").read_bytes() == good


def test_the_rate_stays_then_falls_and_rises_after_a_new_optimiser():
    plan = Plan(seconds=100, rate=1.0, warm=10)
    early = Progress("x", step=500, warm=500, spent=10.0)
    for spent, rate in ((10, 1), (75, 1), (87.5, 0.51), (100, 0.02)):
        assert plan.rate_now(replace(early, spent=spent)) == pytest.approx(rate)
    assert plan.rate_now(replace(early, warm=4)) == pytest.approx(0.5)
    # A budget that is raised while the rate falls brings it back.
    late = replace(early, spent=100.0)
    assert replace(plan, seconds=200).rate_now(late) == pytest.approx(1.0)


def command(folder, *more: str) -> list[str]:
    return [
        sys.executable, "-m", "dolls.train", "--work", str(folder / "work"), "--out",
        str(folder / "out"), "--pictures", "60", "--batch", "4", "--workers", "2", "--afresh",
        *more,
    ]  # fmt: skip


@pytest.mark.slow
def test_the_whole_training_in_small_and_its_files(tmp_path):
    """Every stage, on the real scenes, from the command line; stopped once on the way."""
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
    second = subprocess.run(command(tmp_path, "--steps", "4"), cwd=ROOT)
    assert second.returncode == 0
    assert "everything is trained" in (tmp_path / "out" / "log.txt").read_text()
    parts = read_parts(tmp_path / "out")
    assert set(parts) == set(STAGES) and all(part.note.done for part in parts.values())
    # What the repository may hold.
    size = sum(path.stat().st_size for path in (tmp_path / "out").glob("*.safetensors"))
    assert size < 25e6
    for name in ("vae", "unet_portrait", "control_portrait", "lora_6_portrait"):
        assert (tmp_path / "out" / f"{name}.png").exists()
