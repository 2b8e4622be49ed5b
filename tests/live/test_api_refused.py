"""What the API on a real ComfyUI does not take, and how it says so."""

import pytest
import requests
from PIL import Image

from .api_client import DOCUMENTED, SMALL, generate, plain, post


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


def test_ids_of_others_cannot_be_guessed(api_server):
    mine = generate(api_server, **plain())["id"]
    for number in (mine + 1, mine - 1, 1, -1, 2**53, 2**70, "x", None, [], {}, True, 1.5, "٣"):
        answer = post(api_server, "/api/v4/dreambooth/fetch", request_id=number).json()
        assert (answer["status"], answer["message"]) == ("error", "Request id not found")
    for name in ("0-00000000-0000-0000-0000-000000000000.png", "..%2f..%2fapi.sqlite3", "x"):
        found = requests.get(f"{api_server.url}/ensemble/generations/{name}", timeout=60)
        assert found.status_code == 404


def test_what_run_cannot_take_is_told(api_server):
    assert post(api_server, "/v1/recipes/run", text="{").status_code == 400
    assert post(api_server, "/v1/recipes/run").status_code == 400
    missing = post(api_server, "/v1/recipes/run", text="a <lora:nobody-has-this:1>")
    assert missing.status_code == 422
    assert missing.json()["missing"]
    body = '{"prompt": "a", "init_image": "data:image/png;base64,AAAA"}'
    assert post(api_server, "/v1/recipes/run", text=body).status_code == 400


def test_without_the_switch_there_is_nothing(server):
    assert post(server, "/api/v4/dreambooth").status_code in (404, 405)
    assert post(server, "/v1/recipes/run", text="a").status_code in (404, 405)
    assert not (server.base / "user" / "__ensemble").exists()
