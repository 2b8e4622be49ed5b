from io import BytesIO

from ensemble_portraits.ensemble.cluster.contact import places_of, write_html, write_png
from ensemble_portraits.ensemble.cluster.job import BadLine, Job, Kind, Needs
from ensemble_portraits.ensemble.cluster.results import Results
from ensemble_portraits.ensemble.cluster.sheet import Cell
from PIL import Image


def job(scene: str, person: str) -> Job:
    return Job(f"{scene}{person}", 1, "", Kind.RECIPE, {}, Needs(), Cell(scene, person, 5))


JOBS = [
    job("park", "ann"), job("park", "bob"), job("bar <1>", "ann"), BadLine("bad", 4, "x", "no person"),
]  # fmt: skip


def picture(colour: str) -> bytes:
    data = BytesIO()
    Image.new("RGB", (40, 20), colour).save(data, format="PNG")
    return data.getvalue()


def test_the_page_says_of_every_cell_how_it_stands(tmp_path):
    results = Results(tmp_path)
    results.publish(
        "parkann", "s", [("x.png", picture("red"))], {"seconds": 2, "report": {"seed": 5}}
    )
    places = places_of(JOBS)
    text = write_html(places, results, {"bar <1>ann": "a & b"}, running=True).read_text()
    assert text.count("<img") == 1 and 'src="s_01.png"' in text
    assert text.count("waiting") == 1
    assert "a &amp; b" in text and "bar &lt;1&gt;" in text and "no person" in text
    assert "seed 5, 2 s" in text
    assert "refresh" in text
    assert "refresh" not in write_html(places, results, {}, running=False).read_text()


def test_the_picture_has_each_at_its_place(tmp_path):
    results = Results(tmp_path)
    results.publish("parkann", "a", [("x.png", picture("red"))], {})
    results.publish("bar <1>ann", "b", [("x.png", picture("blue"))], {})
    results.publish("parkbob", "c", [("x.mp4", b"a video")], {})
    path = write_png(places_of(JOBS[:3]), results)
    sheet = Image.open(path)
    assert sheet.size == (3 * 224, 2 * 242 + 18)
    assert sheet.getpixel((224 + 20, 18 + 20)) == (255, 0, 0)
    assert sheet.getpixel((224 + 20, 18 + 242 + 20)) == (0, 0, 255)
    assert sheet.getpixel((448 + 20, 18 + 20)) == (255, 255, 255)


def test_a_run_without_scenes_is_a_grid(tmp_path):
    jobs = [Job(str(n), n, "", Kind.GRAPH, {}, Needs()) for n in range(10)]
    assert [(p.row, p.column) for p in places_of(jobs)][7:9] == [("1", "8"), ("2", "1")]


def test_the_leak_meters_words_stand_under_their_picture(tmp_path):
    results = Results(tmp_path)
    report = {"leak": ["picture 1: 1 faces for 1 people, right 100%", "ann: face 1, itself 0.8"]}
    results.publish("parkann", "a", [("x.png", picture("red"))], {"report": report})
    text = write_html(places_of(JOBS), results, {}, running=False).read_text()
    assert "right 100%<br>ann: face 1, itself 0.8" in text
    sheet = Image.open(write_png(places_of(JOBS[:1]), results))
    assert sheet.crop((224, 18 + 224, 448, 18 + 242)).convert("L").getextrema()[0] < 128
