"""A server as its owner may set it up: with a key, for old clients, fetching pictures; and docs/moving.md."""

import io
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import requests
from PIL import Image

from dev.base import engine_of_this_python, make_base
from dev.server import Server

from .api_client import DOCUMENTED, META, SMALL, pictures, plain, poll
from .conftest import LiveServer, environment

KEY = "a-key-of-16-letters"
PAGE = (Path(__file__).parent.parent.parent / "docs" / "moving.md").read_text(encoding="utf-8")
SETTINGS = {
    "ENSEMBLE_API": "1",
    "ENSEMBLE_API_KEY": KEY,
    "ENSEMBLE_API_UNKNOWN": "warn",
    "ENSEMBLE_API_APPROXIMATE": "1",
    "ENSEMBLE_PICTURE_HOSTS": "127.0.0.1",
}


@pytest.fixture(scope="module")
def owned():
    with tempfile.TemporaryDirectory(
        prefix="ensemble-owned-", ignore_cleanup_errors=True
    ) as folder:
        models = Path(os.environ["ENSEMBLE_BASE"]) / "models"
        base = make_base(Path(folder), models.resolve())
        with ExitStack() as stack:
            with environment(**SETTINGS):
                running = stack.enter_context(Server(engine_of_this_python(), base))
            yield LiveServer(running)


def post(server, path, **body):
    return requests.post(
        f"{server.url}/ensemble{path}", json={"key": KEY, **body}, timeout=60
    ).json()


def generate(server, path="/api/v4/dreambooth", **changes):
    return post(server, path, **{**DOCUMENTED, **SMALL, "key": KEY, **changes})


def finished(server, answer):
    """As poll of the other tests, with the key."""
    while answer["status"] == "processing":
        answer = post(server, "/api/v4/dreambooth/fetch", request_id=answer["id"])
    return answer


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/loras"),
        ("POST", "/v1/prompt/read"),
        ("POST", "/v1/loras/read"),
        ("POST", "/v1/recipes/compile"),
        ("POST", "/v1/recipes/run"),
        ("GET", "/v1/recipes/jobs/5"),
        ("POST", "/api/v4/dreambooth"),
        ("POST", "/api/v4/dreambooth/fetch"),
        ("GET", "/api/v3/dreambooth/fetch/5"),
    ],
)
def test_every_route_of_a_server_with_a_key_needs_it(owned, method, path):
    body = {"text": "a", "hashes": True} if method == "POST" else None
    answer = requests.request(method, f"{owned.url}/ensemble{path}", json=body, timeout=60)
    assert answer.status_code == 401, answer.text


def test_the_editors_page_proves_itself_by_comfyuis_features(owned):
    word = requests.get(f"{owned.url}/features", timeout=60).json()["ensemble_editor"]
    headers = {"X-Ensemble-Editor": word, "X-Forwarded-For": "203.0.113.9"}
    found = requests.get(f"{owned.url}/ensemble/v1/loras", headers=headers, timeout=60)
    assert found.status_code == 200 and found.json()["loras"]


def test_a_keyless_server_refuses_what_a_proxy_passes_on(api_server):
    for path in ("/ensemble/v1/loras", "/ensemble/api/v3/dreambooth/fetch/5"):
        for name in ("X-Forwarded-For", "X-Forwarded-Host", "Forwarded"):
            found = requests.get(api_server.url + path, headers={name: "x"}, timeout=60)
            assert found.status_code == 403


def test_old_clients_unknown_fields_are_told_and_left_out(owned):
    answer = generate(owned, **plain(no_such_field=1, tip="x"))
    assert answer["status"] == "processing", answer
    assert sum("unknown field, left out" in line for line in answer["warnings"]) == 2
    assert finished(owned, answer)["status"] == "success"


@pytest.mark.parametrize("name", ["DDIMInverse", "KarrasVe", "ScoreSdeVe"])
def test_approximations_where_the_owner_allows_them(owned, name):
    answer = generate(owned, **plain(scheduler=f"{name}Scheduler"))
    assert answer["status"] == "processing", answer
    assert finished(owned, answer)["status"] == "success"


def test_approximations_where_the_client_allows_them(api_server):
    from . import api_client

    refused = api_client.generate(api_server, **plain(scheduler="KarrasVeScheduler"))
    assert "ensemble_allow_approximate" in str(refused["message"])
    changes = plain(scheduler="KarrasVeScheduler", ensemble_allow_approximate="yes")
    assert poll(api_server, api_client.generate(api_server, **changes))["status"] == "success"


class Pictures(BaseHTTPRequestHandler):
    """A picture of 48x32, or nothing."""

    def do_GET(self):
        self.send_response(200 if self.path.startswith("/photo") else 404)
        self.send_header("Content-Type", "image/png")
        self.end_headers()
        written = io.BytesIO()
        Image.effect_noise((48, 32), 50).save(written, "PNG")
        self.wfile.write(written.getvalue())

    def log_message(self, *_):
        pass


@pytest.fixture
def host():
    with HTTPServer(("127.0.0.1", 0), Pictures) as target:
        threading.Thread(target=target.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{target.server_port}"
        target.shutdown()


def test_a_picture_is_fetched_from_a_listed_host(owned, host):
    image = {"init_image": f"{host}/photo", "strength": 0.5}
    answer = generate(owned, "/api/v4/dreambooth/img2img", **plain(**image))
    assert answer["status"] == "processing", answer
    assert finished(owned, answer)["status"] == "success"
    fetched = [Image.open(path).size for path in (owned.base / "input" / "ensemble").glob("*.png")]
    assert (48, 32) in fetched
    text = f"a park\ninput_image={host}/photo\nscheduler=euler"
    body = {"text": text, "checkpoint": "small_sd15.safetensors", "steps": 1}
    assert post(owned, "/v1/recipes/run", **body)["status"] == "processing"
    gone = generate(owned, "/api/v4/dreambooth/img2img", **plain(init_image=f"{host}/gone"))
    assert gone["message"] == {"init_image": ["The init_image cannot be fetched: HTTP 404."]}


def test_no_picture_is_fetched_by_default(api_server, host):
    from . import api_client

    image = plain(init_image=f"{host}/photo")
    answer = api_client.generate(api_server, "/api/v4/dreambooth/img2img", **image)
    assert "init_image" in answer["message"]


def block(language: str) -> str:
    return (
        re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)[0]
        .replace('"512"', '"64"')
        .replace("'512'", "'64'")
    )


@pytest.mark.parametrize(
    ("language", "program"),
    [("python", [sys.executable, "-"]), ("javascript", ["node", "-"]), ("bash", ["bash", "-s"])],
)
def test_the_page_on_moving_runs_as_it_stands(owned, language, program):
    if shutil.which(program[0]) is None or (language == "bash" and shutil.which("curl") is None):
        pytest.skip(f"needs {program[0]} and, for bash, curl")
    env = {**os.environ, "BASE": f"{owned.url}/ensemble", "KEY": KEY}
    run = subprocess.run(
        program, input=block(language), capture_output=True, text=True, timeout=120, env=env
    )
    assert run.returncode == 0, run.stderr
    (link,) = re.findall(r"http://\S+?\.png", run.stdout)[-1:]
    assert requests.get(link, timeout=60).content.startswith(b"\x89PNG")


def mismatched(server, people: int, bodies: int, **more) -> dict:
    """A run of a prompt of so many people over a skeleton of so many bodies."""
    from ensemble_portraits.ensemble.pose.default import default_pose
    from ensemble_portraits.ensemble.pose.draw import draw

    drawn = draw(default_pose(bodies, 512, 384)[0])
    name = server.upload(Image.fromarray(drawn), f"{bodies}_bodies.png")
    parts = ["park", "photo", *(f"person {n} <lora:849330:1>" for n in range(people))]
    text = f"{' BREAK '.join(parts)}\ninput_image={name}\ncontrolnet=pose\ncontrolnet_txt2img=true\nw=128\nh=96"
    body = {"text": text, "checkpoint": "small_sd15.safetensors", "steps": 1, **more}
    answer = post(server, "/v1/recipes/run", **body)
    headers = {"X-API-Key": KEY}
    while answer["status"] == "processing":
        answer = requests.get(answer["fetch_result"], headers=headers, timeout=60).json()
    return answer


@pytest.mark.parametrize(("people", "bodies"), [(2, 3), (2, 1), (3, 2)])
def test_hosted_jobs_take_the_largest_bodies_and_say_so(owned, people, bodies):
    done = mismatched(owned, people, bodies)
    assert done["status"] == "success", done
    assert any("largest bodies are taken" in note for note in done["report"]["notes"])


def test_another_way_is_a_field(owned):
    failed = mismatched(owned, 2, 3, on_mismatch="error")
    assert failed["status"] == "failed" and "on_mismatch" in failed["error"]
    assert mismatched(owned, 2, 3, on_mismatch="repeat")["status"] == "success"


def test_a_person_in_the_common_part_is_told_with_the_job(owned):
    text = "park BREAK woman <lora:849330:1> BREAK man <lora:861629:1>\nw=64\nh=64\nscheduler=euler"
    body = {"text": text, "checkpoint": "small_sd15.safetensors", "steps": 1}
    job = post(owned, "/v1/recipes/run", **body)
    assert any("acts on everyone" in line for line in job["warnings"]), job
    (mended,) = post(owned, "/v1/recipes/compile", **body)["mended"]
    assert "park BREAK BREAK woman" in mended


def test_outpainting_and_upscaling_alone_give_their_sizes(owned):
    name = owned.upload(Image.effect_noise((96, 64), 60).convert("RGB"), "small_noise.png")
    sizes = []
    for text in (
        f"--outpaint left-center --outpaint_width 128 --outpaint_height 96\ninput_image={name}\n"
        "denoising_strength=0\nscheduler=euler",
        f"a cat --only_upscale\ninput_image={name}\ndenoising_strength=0.5\nscheduler=euler",
    ):
        answer = post(
            owned, "/v1/recipes/run", text=text, checkpoint="small_sd15.safetensors", steps=2
        )
        headers = {"X-API-Key": KEY}
        while answer["status"] == "processing":
            answer = requests.get(answer["fetch_result"], headers=headers, timeout=60).json()
        assert answer["status"] == "success", answer
        sizes.append(pictures(answer)[0].size)
    assert sizes == [(128, 96), (192, 128)]


def test_a_mask_of_16_bits_is_read_level_by_level(owned):
    import numpy as np

    ramp = np.round(np.linspace(0, 1, 64 * 64)).reshape(64, 64)
    ramp[:32] = 0.001  # white to Pillow, nearly black in truth
    written = io.BytesIO()
    Image.fromarray(np.round(ramp * 65535).astype(np.uint16)).save(written, "PNG")
    import base64

    encode = lambda data: "data:image/png;base64," + base64.b64encode(data).decode()  # noqa: E731
    photo = io.BytesIO()
    Image.effect_noise((64, 64), 60).convert("RGB").save(photo, "PNG")
    images = {"init_image": encode(photo.getvalue()), "mask_image": encode(written.getvalue())}
    answer = generate(owned, "/api/v4/dreambooth/inpaint", **plain(strength=1, **images))
    assert finished(owned, answer)["status"] == "success"
    levels = [
        np.asarray(Image.open(path).convert("L"))
        for path in (owned.base / "input" / "ensemble").glob("*.png")
    ]
    mask = next(each for each in levels if set(np.unique(each)) == {0, 255})
    assert mask[:32].max() == 0 and mask[32:].min() == 255
    assert set(answer["meta"]) == META
