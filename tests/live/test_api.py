"""The API on a real ComfyUI: documented clients get their pictures."""

import base64
import io
import json
import shutil
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
import requests
from PIL import Image

from .api_client import (
    DOCUMENTED,
    HERE,
    META,
    SMALL,
    generate,
    picture_url,
    pictures,
    plain,
    poll,
    post,
)


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


def test_a_model_can_be_asked_for(api_server):
    path = "/api/v4/dreambooth/model_reload"
    assert post(api_server, path, model_id="f222-diffusion").json()["status"] == "success"
    unknown = post(api_server, path, model_id="nobody-has-this").json()
    assert (unknown["status"], unknown["message"]) == ("error", "Model id not found")


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
