"""The API on a real ComfyUI: clients written from the hosted service's documentation alone."""

import base64
import io
import json
import shutil
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import requests
from PIL import Image

HERE = Path(__file__).parent
DOCUMENTED = json.loads((HERE.parent / "fixtures" / "recipes" / "lora_multi.json").read_text())
SMALL = {"width": "64", "height": "64", "num_inference_steps": "1"}
# Documented names of meta, as the service's answer has them.
META = set(
    [
        "prompt",
        "model_id",
        "negative_prompt",
        "scheduler",
        "safety_checker",
        "W",
        "H",
        "guidance_scale",
        "seed",
        "steps",
        "n_samples",
        "full_url",
        "tomesd",
        "upscale",
        "multi_lingual",
        "panorama",
        "self_attention",
        "use_karras_sigmas",
        "embeddings",
        "vae",
        "lora",
        "lora_strength",
        "clip_skip",
        "temp",
        "base64",
        "file_prefix",
    ]
)


def post(server, path, **body):
    """As the documentation's Python sample does it."""
    return requests.post(
        f"{server.url}/ensemble{path}",
        headers={"Content-Type": "application/json"},
        data=json.dumps({"key": "", **body}),
        timeout=60,
    )


def generate(server, path="/api/v4/dreambooth", **changes):
    return post(server, path, **{**DOCUMENTED, **SMALL, **changes}).json()


def poll(server, answer):
    """The documented loop: fetch until it is no longer processing."""
    number = answer["id"]
    for _ in range(600):
        if answer["status"] != "processing":
            return answer
        time.sleep(0.1)
        answer = post(server, "/api/v4/dreambooth/fetch", request_id=str(number)).json()
    raise AssertionError("still processing")


def pictures(answer):
    found = [requests.get(link, timeout=60).content for link in answer["output"]]
    return [Image.open(io.BytesIO(data)) for data in found]


def plain(**changes):
    """A body that needs little: no LoRAs, no checker."""
    off = {"lora_model": None, "safety_checker": "no", "enhance_prompt": "no", "tomesd": "no"}
    return {**off, **changes}


def picture_url(picture, head="data:image/png;base64,"):
    written = io.BytesIO()
    picture.save(written, format="PNG")
    return head + base64.b64encode(written.getvalue()).decode()


def test_the_documented_python_client_gets_its_picture(api_server):
    answer = generate(api_server)
    assert answer["status"] == "processing", answer
    assert answer["eta"] > 0
    assert answer["messege"] == answer["message"]
    assert answer["output"] == []
    assert set(answer["meta"]) == META
    assert answer["meta"]["lora"] == "ganyu-lora,more_details"
    assert (answer["meta"]["W"], answer["meta"]["steps"], answer["meta"]["lora_strength"]) == (
        64,
        1,
        1,
    )
    assert 0 <= answer["meta"]["seed"] < 2**32
    done = poll(api_server, answer)
    assert done == {"status": "success", "id": answer["id"], "output": answer["future_links"]}
    assert [picture.size for picture in pictures(done)] == [(64, 64)]


@pytest.mark.skipif(shutil.which("node") is None, reason="needs node")
def test_the_documented_javascript_client_gets_its_picture(api_server):
    body = json.dumps({**DOCUMENTED, **SMALL, **plain()})
    run = subprocess.run(
        ["node", HERE / "api_client.mjs", f"{api_server.url}/ensemble", body],
        capture_output=True,
        text=True,
        timeout=120,
    )
    found = json.loads(run.stdout)
    assert found["status"] == "success"
    assert bytes(found["head"]) == b"\x89PNG"


def test_the_link_of_the_answer_can_be_fetched_both_ways(api_server):
    answer = generate(api_server, **plain(samples="2"))
    poll(api_server, answer)
    link = answer["fetch_result"]
    assert "/api/v3/dreambooth/fetch/" in link
    posted = requests.post(link, json={"key": ""}, timeout=60).json()
    assert posted == requests.get(link, timeout=60).json()
    assert len(pictures(posted)) == len(answer["future_links"]) == 2


def test_image_to_image_and_inpaint_take_data_urls(api_server):
    photo = Image.new("RGB", (64, 64), (200, 30, 30))
    mask = Image.new("L", (64, 64), 0)
    changes = plain(init_image=picture_url(photo), strength=0.7, seed=3)
    answer = generate(api_server, "/api/v4/dreambooth/img2img", **changes)
    assert pictures(poll(api_server, answer))[0].size == (64, 64)
    changes = {**changes, "mask_image": picture_url(mask)}
    first = generate(api_server, "/api/v4/dreambooth/inpaint", **changes)
    assert pictures(poll(api_server, first))[0].size == (64, 64)


def test_base64_both_ways(api_server):
    photo = Image.effect_noise((64, 64), 60).convert("RGB")
    changes = plain(init_image=picture_url(photo, ""), base64="yes", temp="yes")
    answer = generate(api_server, "/api/v4/dreambooth/img2img", **changes)
    assert (answer["meta"]["base64"], answer["meta"]["temp"]) == ("yes", "yes")
    done = poll(api_server, answer)
    assert Image.open(io.BytesIO(base64.b64decode(done["output"][0]))).size == (64, 64)


def test_the_same_request_under_the_same_track_id_is_one_job(api_server):
    answers = []
    changes = plain(track_id="order 7", prompt="one job")
    threads = [
        threading.Thread(target=lambda: answers.append(generate(api_server, **changes)))
        for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({answer["id"] for answer in answers}) == 1
    assert len({answer["meta"]["seed"] for answer in answers}) == 1
    poll(api_server, answers[0])
    again = generate(api_server, **changes)
    assert (again["status"], again["id"]) == ("success", answers[0]["id"])
    assert again["meta"] == answers[0]["meta"]
    other = generate(api_server, **{**changes, "prompt": "another job"})
    assert other["id"] != again["id"]


def test_a_client_id_for_another_request_is_refused(api_server):
    url = f"{api_server.url}/ensemble/api/v4/dreambooth"
    body = {**DOCUMENTED, **SMALL, **plain()}
    headers = {"Idempotency-Key": "mine"}
    first = requests.post(url, json=body, headers=headers, timeout=60)
    again = requests.post(url, json=body, headers=headers, timeout=60)
    assert first.json()["id"] == again.json()["id"]
    changed = requests.post(url, json={**body, "seed": 5}, headers=headers, timeout=60)
    assert changed.status_code == 409


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"prompt": ""}, "{'prompt': ['The prompt field is required.']}"),
        ({"model_id": "nobody-has-this"}, "Model id not found"),
        ({"lora_model": "nobody-has-this"}, "lora_model"),
        ({"lora_model": "../../secret"}, "without '..'"),
        ({"model_id": "/etc/passwd"}, "without '..'"),
        ({"vae": "C:\\windows\\x"}, "without '..'"),
        ({"prompt": "a\x00b"}, "control character"),
        ({"model_id": "a\nb"}, "Model id not found"),
        ({"width": "12345678901234567890"}, "width"),
        ({"samples": 10**30}, "samples"),
        ({"scheduler": "NoSuchScheduler"}, "scheduler"),
        ({"no_such_field": 1}, "unknown field"),
        ({"prompt": ["a"]}, "must be one value"),
        ({"temp": "perhaps"}, "temp"),
        ({"webhook": "https://evil.example/"}, "ENSEMBLE_WEBHOOK_HOSTS"),
        ({"webhook": "http://169.254.169.254/"}, "ENSEMBLE_WEBHOOK_HOSTS"),
        ({"track_id": {"a": 1}}, "track_id"),
    ],
)
def test_what_is_wrong_is_told_in_the_documented_shape(api_server, changes, message):
    answer = generate(api_server, **changes)
    assert answer["status"] == "error"
    assert message in str(answer["message"])
    assert answer["messege"] == answer["message"]


@pytest.mark.parametrize(
    "name",
    [
        "../secret.png",
        "/etc/passwd",
        "linked.png",
        "linked/secret.png",
        "secret.png\x00.png",
        "secret.png [output]",
        "data:image/png;base64,AAAA",
        " data:image/png;base64,AAAA",
        "data:image/svg+xml;base64,PHN2Zy8+",
    ],
)
def test_pictures_outside_of_the_input_folder_cannot_be_named(api_server, name, tmp_path):
    Image.new("RGB", (64, 64)).save(tmp_path / "secret.png")
    links = {"linked.png": tmp_path / "secret.png", "linked": tmp_path}
    for link, target in links.items():
        path = api_server.base / "input" / link
        path.unlink(missing_ok=True)
        path.symlink_to(target)
    changes = plain(init_image=name)
    answer = generate(api_server, "/api/v4/dreambooth/img2img", **changes)
    for link in links:
        (api_server.base / "input" / link).unlink()
    assert answer["status"] == "error", answer


def test_a_model_can_be_asked_for(api_server):
    path = "/api/v4/dreambooth/model_reload"
    assert post(api_server, path, model_id="f222-diffusion").json()["status"] == "success"
    unknown = post(api_server, path, model_id="nobody-has-this").json()
    assert (unknown["status"], unknown["message"]) == ("error", "Model id not found")


def test_ids_of_others_cannot_be_guessed(api_server):
    mine = generate(api_server, **plain())["id"]
    for number in (mine + 1, mine - 1, 1, -1, 2**53, 2**70, "x", None, [], {}, True, 1.5, "٣"):
        answer = post(api_server, "/api/v4/dreambooth/fetch", request_id=number).json()
        assert (answer["status"], answer["message"]) == ("error", "Request id not found")
    for name in ("0-00000000-0000-0000-0000-000000000000.png", "..%2f..%2fapi.sqlite3", "x"):
        found = requests.get(f"{api_server.url}/ensemble/generations/{name}", timeout=60)
        assert found.status_code == 404


def test_astria_text_runs_too(api_server):
    body = {
        "text": "a park BREAK photo BREAK a woman <lora:849330:1> BREAK a man <lora:861629:1>\n"
        "num_images=1\nscheduler=euler",
        "checkpoint": "small_sd15.safetensors",
        **{"width": 64, "height": 64, "steps": 1, "id": "my own 1"},
    }
    first = post(api_server, "/v1/recipes/run", **body)
    assert (first.status_code, first.json()["status"]) == (202, "processing"), first.text
    job = first.json()
    assert job["report"]["service"] == "astria"
    assert job["report"]["shrink"]["steps"] == "default -> 1"
    again = post(api_server, "/v1/recipes/run", **body)
    assert (again.status_code, again.json()["id"]) == (200, job["id"])
    while job["status"] == "processing":
        time.sleep(0.1)
        job = requests.get(job["fetch_result"], timeout=60).json()
    assert job["status"] == "success", job
    assert pictures(job)[0].size == (64, 64)


def test_what_run_cannot_take_is_told(api_server):
    assert post(api_server, "/v1/recipes/run", text="{").status_code == 400
    assert post(api_server, "/v1/recipes/run").status_code == 400
    missing = post(api_server, "/v1/recipes/run", text="a <lora:nobody-has-this:1>")
    assert missing.status_code == 422
    assert missing.json()["missing"]
    body = '{"prompt": "a", "init_image": "data:image/png;base64,AAAA"}'
    assert post(api_server, "/v1/recipes/run", text=body).status_code == 400


class Hook(BaseHTTPRequestHandler):
    seen: list[dict]

    def do_POST(self):
        length = int(self.headers["Content-Length"])
        type(self).seen.append(json.loads(self.rfile.read(length)))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        pass


def test_a_webhook_is_told_with_the_track_id(api_server):
    handler = type("Told", (Hook,), {"seen": []})
    with HTTPServer(("127.0.0.1", 0), handler) as target:
        threading.Thread(target=target.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{target.server_port}/done"
        answer = generate(api_server, **plain(webhook=url, track_id=12))
        done = poll(api_server, answer)
        for _ in range(200):
            if handler.seen:
                break
            time.sleep(0.1)
        target.shutdown()
    told = handler.seen[0]
    assert (told["status"], told["id"], told["track_id"]) == ("success", answer["id"], 12)
    assert told["output"] == done["output"]
    assert set(told["meta"]) == META


def test_without_the_switch_there_is_nothing(server):
    assert post(server, "/api/v4/dreambooth").status_code in (404, 405)
    assert post(server, "/v1/recipes/run", text="a").status_code in (404, 405)
    assert not (server.base / "user" / "__ensemble").exists()
