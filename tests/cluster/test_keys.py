import uuid

from ensemble_portraits.ensemble.cluster.keys import Keys, prompt_id, seed_of


def test_the_same_lines_have_the_same_keys_whatever_the_order_of_their_fields():
    first, second = Keys(), Keys()
    assert first.key({"a": 1, "b": [2]}) == second.key({"b": [2], "a": 1})
    assert first.key({"a": "ü"}) != first.key({"a": "u"})


def test_equal_lines_are_two_jobs_with_seeds_of_their_own():
    keys = Keys()
    found = [keys.key({"text": "x", "seed": None}) for _ in range(3)]
    assert len(set(found)) == 3
    assert len({seed_of(key) for key in found}) == 3
    assert all(0 <= seed_of(key) < 2**32 for key in found)
    again = Keys()
    assert [again.key({"text": "x", "seed": None}) for _ in range(3)] == found


def test_each_try_has_an_id_that_comfyui_takes():
    """It wants the canonical spelling (comfy_execution/jobs.py, validate_job_id)."""
    from comfy_execution.jobs import validate_job_id

    ids = [prompt_id("k", attempt) for attempt in (1, 2)]
    assert len(set(ids)) == 2
    assert [validate_job_id(each) for each in ids] == ids
    assert all(str(uuid.UUID(each)) == each for each in ids)


def test_text_that_is_no_unicode_has_a_key():
    assert Keys().key({"text": "\ud800"})
