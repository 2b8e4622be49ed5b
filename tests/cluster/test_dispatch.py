import pytest
from ensemble_portraits.ensemble.cluster.dispatch import Able, Dispatcher, Waiting
from ensemble_portraits.ensemble.cluster.job import Needs

from benchmarks.farm_simulation import make_jobs, simulate

LONG = 512 * 512 * 20.0  # fifteen seconds, at the first guess


def queue_of(*jobs: tuple[str, str, str, float], workers: str = "AB") -> Dispatcher:
    """Jobs as (key, checkpoint, LoRAs, work)."""
    queue = Dispatcher()
    for key, model, loras, work in jobs:
        queue.add(Waiting(key, Needs(model, loras, work=work * LONG)))
    for worker in workers:
        queue.arrive(worker, Able())
    queue.complete = True
    return queue


def take(queue: Dispatcher, worker: str, now: float = 0.0) -> str | None:
    found = queue.next_for(worker, now)
    return found and found.key


def test_a_worker_stays_with_its_checkpoint_and_then_with_its_loras():
    queue = queue_of(
        ("1", "a", "x", 1), ("2", "b", "x", 1), ("3", "a", "y", 1), ("4", "a", "x", 1), workers="A"
    )
    assert [take(queue, "A") for _ in range(4)] == ["1", "4", "3", "2"]
    assert queue.reloads == 2
    assert take(queue, "A") is None


def test_long_jobs_go_first_and_two_workers_take_two_checkpoints():
    queue = queue_of(("1", "a", "", 1), ("2", "a", "", 3), ("3", "b", "", 2), ("4", "b", "", 5))
    assert [take(queue, "A"), take(queue, "B")] == ["4", "2"]


def test_a_short_rest_is_left_to_who_has_it_loaded():
    queue = queue_of(("1", "a", "", 0.1), ("2", "a", "", 0.1), ("3", "a", "", 0.1))
    assert take(queue, "A") == "1"
    assert take(queue, "B", now=0.1) is None
    assert take(queue, "A", now=1.5) == "2"
    queue = queue_of(("1", "a", "", 5), ("2", "a", "", 0.1))
    assert take(queue, "A") == "1"
    # A is busy for longer than a reload takes.
    assert take(queue, "B", now=0.1) == "2"


def test_a_job_goes_where_its_files_are_and_waits_until_every_worker_has_told():
    queue = Dispatcher()
    for key, files, work in (("1", {"a"}, 1), ("2", {"nowhere"}, 1), ("3", {"b"}, 2)):
        queue.add(Waiting(key, Needs(key, files=frozenset(files), work=work * LONG)))
    queue.arrive("A", Able(frozenset({"a"})))
    assert take(queue, "A") == "1"
    assert take(queue, "A") is None
    queue.arrive("B", Able(frozenset({"b"})))
    queue.complete = True
    assert take(queue, "B") == "3"
    # ComfyUI's own words for a file that nobody has: a node may know folders that were not told.
    assert take(queue, "B") == "2"
    assert queue.nowhere(frozenset({"nowhere", "b"})) == ["nowhere"]


def test_who_has_the_checkpoint_and_lacks_the_lora_is_not_waited_for():
    queue = Dispatcher()
    queue.arrive("A", Able(frozenset({"c"})))
    queue.arrive("B", Able(frozenset({"c", "lora"})))
    queue.complete = True
    queue.add(Waiting("1", Needs("c", files=frozenset({"c"}), work=2.0)))
    queue.add(Waiting("2", Needs("c", "lora", frozenset({"c", "lora"}), work=1.0)))
    assert take(queue, "A") == "1"
    assert take(queue, "B", now=1000.0) == "2"


def test_a_job_that_came_back_goes_first_and_elsewhere():
    queue = queue_of(("1", "a", "", 1), ("2", "a", "", 1))
    first = queue.next_for("A", 0.0)
    assert first is not None
    queue.leave("A")
    queue.add_front(Waiting(first.key, first.needs, avoid="A"))
    queue.arrive("A", Able())
    assert take(queue, "A") == "2"
    assert take(queue, "B") == "1"
    # Where there is no other, the same worker has it again.
    alone = queue_of(workers="A")
    alone.add_front(Waiting("3", Needs(), avoid="A"))
    assert take(alone, "A") == "3"


def test_what_did_not_fit_goes_to_the_largest():
    queue = Dispatcher()
    queue.arrive("A", Able(memory=8))
    queue.arrive("B", Able(memory=24))
    queue.complete = True
    queue.add_front(Waiting("1", Needs(), largest=True))
    assert take(queue, "A") is None
    assert take(queue, "B") == "1"


def test_the_time_left_follows_what_was_measured():
    queue = queue_of(("1", "a", "", 2), ("2", "a", "", 1))
    assert queue.left() == pytest.approx(45.0)
    queue.measured(LONG, 30.0)
    assert queue.left() == pytest.approx(90.0)


@pytest.mark.parametrize("gpus", [1, 16, 64, 256])
def test_ten_thousand_jobs_of_twenty_checkpoints(gpus):
    jobs = make_jobs(10_000, 20)
    course = simulate(jobs, gpus)
    assert set(course.outcomes.values()) == {1}
    assert course.reloads <= 2 * (20 + gpus)
    assert course.efficiency >= 0.9


def test_estimates_that_are_off_cost_little():
    course = simulate(make_jobs(10_000, 20), 64, noise=0.5)
    assert course.efficiency >= 0.9
    assert course.reloads <= 2 * (20 + 64)


@pytest.mark.parametrize("deaths", [0.02, 0.2])
def test_every_job_has_one_outcome_whoever_dies(deaths):
    course = simulate(make_jobs(2_000, 20), 16, noise=0.3, deaths=deaths)
    assert set(course.outcomes.values()) == {1}


def test_many_checkpoints_are_no_load_on_the_driver():
    import time

    began = time.process_time()
    course = simulate(make_jobs(3_000, 500), 128)
    assert set(course.outcomes.values()) == {1}
    assert (time.process_time() - began) / 3_000 < 0.02
