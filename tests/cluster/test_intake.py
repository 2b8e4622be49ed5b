import csv
import json
from pathlib import Path
from typing import Any

import pytest
from ensemble_portraits.ensemble.cluster.inputs import Pictures
from ensemble_portraits.ensemble.cluster.intake import Intake
from ensemble_portraits.ensemble.cluster.job import BadLine, Job, Kind
from ensemble_portraits.ensemble.cluster.keys import seed_of
from ensemble_portraits.ensemble.cluster.rows import SourceError, read_rows

GRAPH = {
    "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "a"}, "_meta": {"title": "Words"}},
    "4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "sd.safetensors"}},
    "3": {"class_type": "KSampler", "inputs": {"seed": None, "steps": 30, "model": ["4", 0]}},
    "5": {
        "class_type": "EmptyLatentImage",
        "inputs": {"width": 512, "height": 768, "batch_size": 2},
    },
}


def read(path: Path, data: str | bytes, name: str = "jobs.jsonl") -> list[Any]:
    file = path / name
    file.write_bytes(data.encode() if isinstance(data, str) else data)
    return list(Intake(Pictures(path), path).jobs(read_rows(str(file))))


def lines(path: Path, *values: Any) -> list[Any]:
    return read(path, "\n".join(map(json.dumps, values)))


def test_every_form_of_a_line(tmp_path):
    (tmp_path / "g.json").write_text(json.dumps(GRAPH))
    found = lines(
        tmp_path,
        "a man BREAK BREAK ann <lora:ann:1>",
        {"text": "a man", "seed": 5, "name": "one man/5"},
        {"prompt": "a man", "model_id": "sd", "lora_model": "ann"},
        GRAPH,
        {"graph": "g.json", "set": {"6.text": "b", "Words.text": "c", "3.seed": 7}, "name": "g"},
        {"prompt": GRAPH, "client_id": "x"},
    )  # fmt: skip
    assert [job.kind for job in found] == [Kind.RECIPE] * 3 + [Kind.GRAPH] * 3
    assert [job.line for job in found] == [1, 2, 3, 4, 5, 6]
    assert found[0].needs.loras == "ann:1"
    assert found[1].stem == f"one_man_5-{found[1].key[:8]}"
    assert (found[2].needs.model, found[2].needs.loras) == ("sd", "ann:1.0")
    graph = found[4].spec["graph"]
    assert graph["6"]["inputs"]["text"] == "c"
    assert graph["3"]["inputs"]["seed"] == 7
    assert found[4].needs.model == "sd.safetensors"
    assert found[4].needs.files == {"sd.safetensors"}
    assert found[4].needs.work == 512 * 768 * 30 * 2


def test_a_seed_that_is_null_is_drawn_from_the_key(tmp_path):
    first, second = lines(tmp_path, GRAPH, GRAPH)
    seeds = [job.spec["graph"]["3"]["inputs"]["seed"] for job in (first, second)]
    assert seeds == [seed_of(first.key), seed_of(second.key)]
    assert seeds[0] != seeds[1]
    assert lines(tmp_path, GRAPH)[0] == first


def test_another_picture_of_the_same_name_is_another_job(tmp_path):
    line = {"text": "a man --mask_prompt foreground input_image=me.png"}
    graph = {"1": {"class_type": "LoadImage", "inputs": {"image": "me.png"}}}
    (tmp_path / "me.png").write_bytes(b"one")
    before = lines(tmp_path, graph)[0].key
    (tmp_path / "me.png").write_bytes(b"two")
    assert lines(tmp_path, graph)[0].key != before
    assert isinstance(lines(tmp_path, line)[0], Job | BadLine)


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (3, "a text or an object"),
        ({"name": 3, "text": "x"}, "name: must be text"),
        ({"text": "a <lora:ann"}, "not closed"),
        ({"text": "a", "sead": 3}, "did you mean seed"),
        ({"graph": {"nodes": []}}, "API format"),
        ({"graph": "no.json"}, "cannot be read"),
        ({"graph": GRAPH, "set": {"6.txt": "b"}}, "no input 'txt'; near: text"),
        ({"graph": GRAPH, "set": {"Worts.text": "b"}}, "no node 'Worts'"),
        ({"graph": GRAPH, "set": {"seed": 1}}, "no 'node.input'"),
        ({"graph": GRAPH, "seed": -1}, "seed: must be a whole number from 0"),
        ({"graph": GRAPH, "steps": 1}, "steps: unknown beside graph"),
        ({"prompt": "x", "lora_modle": "a"}, "lora_modle: unknown field"),
    ],
)
def test_a_line_that_is_no_job_says_why_and_stops_no_other(tmp_path, value, says):
    good, bad, last = lines(tmp_path, "a man", value, "a woman")
    assert isinstance(good, Job) and isinstance(last, Job)
    assert isinstance(bad, BadLine) and bad.line == 2
    assert says in bad.error


def test_what_is_not_json_is_a_failed_line(tmp_path):
    found = read(tmp_path, '"a man"\n\n{"text": \n"a woman"')
    assert [each.line for each in found] == [1, 3, 4]
    assert "is not JSON" in found[1].error
    with pytest.raises(SourceError, match="line 2 is not UTF-8"):
        read(tmp_path, b'"a"\n"\xff"')
    with pytest.raises(SourceError, match="cannot be read"):
        read_rows(str(tmp_path / "none.jsonl"))


def test_csv_of_windows_with_quotes_and_line_breaks(tmp_path):
    text = 'name;text;seed\r\nZoë;"a ""tall"" man;\r\nin Köln für 5 €";5\r\n\r\nann;a woman;\r\n'
    found = read(tmp_path, text.encode("cp1252"), "jobs.csv")
    assert [each.line for each in found] == [2, 5]
    assert found[0].spec["request"] == {"text": 'a "tall" man;\r\nin Köln für 5 €', "seed": 5}
    assert found[0].name == "Zoë"
    assert "seed" not in found[1].spec["request"]
    assert read(tmp_path, text.encode("utf-8-sig"), "jobs.csv") == found


def test_csv_of_bodies_and_of_graphs(tmp_path):
    (tmp_path / "g.json").write_text(json.dumps(GRAPH))
    found = read(tmp_path, "prompt,model_id,samples\na man,sd,2\n", "a.csv")
    assert json.loads(found[0].spec["request"]["text"])["samples"] == "2"
    found = read(tmp_path, "graph,6.text,3.seed\ng.json,b,9\ng.json,c,\n", "b.csv")
    assert [job.spec["graph"]["6"]["inputs"]["text"] for job in found] == ["b", "c"]
    assert found[0].spec["graph"]["3"]["inputs"]["seed"] == 9


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('text\n"never closed\n', "line 2"),
        ("", "name the columns"),
        ("text,text\na,b\n", "each once"),
    ],
)
def test_a_csv_that_cannot_be_cut_into_rows_is_refused_whole(tmp_path, text, says):
    with pytest.raises(SourceError, match=says):
        read(tmp_path, text, "jobs.csv")


def test_a_row_with_too_many_fields_is_a_failed_line(tmp_path):
    found = read(tmp_path, "name,text\na,b,c\nd,e\n", "jobs.csv")
    assert "has 3 fields and the header 2" in found[0].error
    assert isinstance(found[1], Job)


def test_a_folder_of_graphs_and_texts(tmp_path):
    (tmp_path / "b.json").write_text(json.dumps(GRAPH))
    (tmp_path / "a.txt").write_text("a man")
    (tmp_path / "c.json").write_text("{")
    found = list(Intake(Pictures(tmp_path), tmp_path).jobs(read_rows(str(tmp_path))))
    assert [each.name for each in found] == ["a", "b", "c"]
    assert isinstance(found[2], BadLine)


@pytest.mark.long
def test_a_hundred_thousand_rows(tmp_path):
    rows = ["name,text", *(f'r{n},"a man, number {n}"' for n in range(100_000))]
    found = read(tmp_path, "\n".join(rows), "jobs.csv")
    assert len(found) == len({job.key for job in found}) == 100_000
    assert found[-1].line == 100_001


def test_the_limit_of_csv_fields_is_put_back(tmp_path):
    """It is the whole process's, and the pack's reader of LoRA names relies on its own."""
    before = csv.field_size_limit()
    assert read(tmp_path, f"prompt\n{'a' * 200_000}\n", "jobs.csv")
    assert csv.field_size_limit() == before
