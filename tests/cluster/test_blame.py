import pytest
from ensemble_portraits.ensemble.cluster.blame import Fault, Next, Record, WorkerRecord, after


@pytest.mark.parametrize(
    ("fault", "tries"),
    [(Fault.REFUSED, 1), (Fault.FAILED, 1), (Fault.MEMORY, 2), (Fault.DIED, 3), (Fault.STALLED, 3)],
)
def test_a_job_is_tried_so_often(fault, tries):
    record, steps = Record(), []
    while not steps or steps[-1] is not Next.FAIL:
        record, then = after(record, fault)
        steps.append(then)
    assert len(steps) == tries


def test_what_the_user_ended_waits_and_nothing_is_held_against_it():
    for fault in (Fault.CANCELLED, Fault.ABSENT):
        assert after(Record(1, 1), fault) == (Record(1, 1), Next.WAITING)


def test_a_worker_is_set_aside_after_three_different_jobs_and_no_answer_between():
    worker = WorkerRecord()
    assert not worker.died_with("a")
    assert not worker.died_with("a")
    assert not worker.died_with("b")
    worker.served()
    assert not worker.died_with("c")
    assert not worker.died_with("d")
    assert worker.died_with("e")
    worker.served()
    # Its ComfyUI had ended before the one job came, each time.
    assert [worker.died_with("f", Fault.ABSENT) for _ in range(3)] == [False, False, True]
    assert [worker.failed_to_boot() for _ in range(3)] == [False, False, True]
