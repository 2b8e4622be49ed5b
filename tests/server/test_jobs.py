"""Jobs through ComfyUI's real queue and executor, and over a restart."""

import asyncio

import numpy as np
import pytest
from ensemble_portraits.ensemble.server.api.answers import links
from ensemble_portraits.ensemble.server.api.draft import request_hash
from ensemble_portraits.ensemble.server.api.job import Outcome, State
from ensemble_portraits.ensemble.server.api.jobs import MOST_CRASHES, new_ids
from ensemble_portraits.ensemble.server.api.queue import GraphError, read_history
from ensemble_portraits.ensemble.server.api.store import FullError
from PIL import Image

from tests.server.drafts import ended, job


def pixels(service, found):
    paths = [service.jobs.picture_path(record) for record in found.outputs]
    return [np.asarray(Image.open(path))[0, 0].tolist() for path in paths]


def files(service):
    return sorted(path.name for path in service.jobs._output.rglob("*.png"))


def test_a_job_runs_and_its_pictures_are_its_own(talk):
    async def scenario(_, service):
        first, _ = await service.jobs.submit(job(color=0xFF0000), ())
        second, _ = await service.jobs.submit(job(color=0x0000FF, pictures=2), ())
        done = await ended(service, first.id), await ended(service, second.id)
        assert [each.state for each in done] == [State.DONE, State.DONE]
        assert pixels(service, done[0]) == [[255, 0, 0]]
        assert pixels(service, done[1]) == [[0, 0, 255]] * 2
        assert done[0].seconds is not None

    talk(scenario, worker=True)


def test_a_jobs_pictures_are_found_by_their_links_and_no_others(talk):
    async def scenario(client, service):
        made, _ = await service.jobs.submit(job(color=0xFF0000, pictures=2), ())
        promised = links(made, "")
        done = await ended(service, made.id)
        assert links(done, "") == promised
        assert len(promised) == 2
        for link, status in ((promised[1], 200), (promised[1].replace("/1-", "/2-"), 404)):
            async with client.get(link) as answer:
                assert answer.status == status

    talk(scenario, worker=True)


def test_the_key_is_no_part_of_what_was_asked():
    asked = request_hash("/path", {"key": "old", "prompt": "a"})
    assert asked == request_hash("/path", {"prompt": "a", "key": "new"})
    assert asked != request_hash("/path", {"key": "old", "prompt": "b"})
    assert asked != request_hash("/other", {"key": "old", "prompt": "a"})


def test_waiting_jobs_run_after_a_restart_in_their_order(talk):
    numbers = []

    async def before(_, service):
        for color in range(3):
            numbers.append((await service.jobs.submit(job(color=color), ()))[0].id)

    async def after(_, service):
        done = [await ended(service, number) for number in numbers]
        assert [pixels(service, each) for each in done] == [[[0, 0, color]] for color in range(3)]
        order = sorted(done, key=lambda each: each.finished)
        assert [each.id for each in order] == numbers

    talk(before)
    talk(after, worker=True)


def test_pictures_saved_before_the_end_are_found_and_nothing_runs_again(talk):
    waiting = job(pictures=2)

    async def before(_, service):
        await service.jobs.submit(waiting, ())
        target = service.jobs._output / waiting.prefix
        target.parent.mkdir(parents=True)
        for index in (1, 2):
            Image.new("RGB", (8, 8), "green").save(f"{target}_{index:05}_.png")

    async def after(_, service):
        done = await ended(service, waiting.id)
        assert pixels(service, done) == [[0, 128, 0]] * 2
        assert service.jobs._queue.length() == 0
        assert len(files(service)) == 2

    talk(before)
    talk(after, worker=True)


@pytest.mark.parametrize("cut", [False, True])
def test_half_saved_pictures_give_way_to_the_whole_run(talk, cut):
    waiting = job(pictures=2, color=0x00FF00)

    async def before(_, service):
        await service.jobs.submit(waiting, ())
        target = service.jobs._output / waiting.prefix
        target.parent.mkdir(parents=True)
        for index in (1, 2)[: 2 if cut else 1]:
            Image.effect_noise((64, 64), 50).save(f"{target}_{index:05}_.png")
        if cut:
            whole = target.with_name(f"{target.name}_00002_.png")
            whole.write_bytes(whole.read_bytes()[:-500])

    async def after(_, service):
        done = await ended(service, waiting.id)
        assert pixels(service, done) == [[0, 255, 0]] * 2
        assert len(files(service)) == 2

    talk(before)
    talk(after, worker=True)


def test_a_job_that_ends_the_process_again_and_again_is_given_up(talk):
    fatal, other = job(), job()

    async def crash(_, service):
        if await service.find(fatal.id) is None:
            await service.jobs.submit(fatal, ())
            await service.jobs.submit(other, ())
        service.jobs.store.set_running(fatal.prompt_id)

    async def after(_, service):
        found = await ended(service, fatal.id)
        assert found.state is State.FAILED
        assert f"{MOST_CRASHES} times" in found.error
        assert (await ended(service, other.id)).state is State.DONE

    for _ in range(MOST_CRASHES):
        talk(crash)
    talk(after, worker=True)


def test_a_failing_graph_is_told_with_its_reason(talk):
    async def scenario(_, service):
        broken = job()
        # Nothing but running it can show that the folder is a file.
        folder = (service.jobs._output / broken.prefix).parent
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.write_bytes(b"")
        found = await ended(service, (await service.jobs.submit(broken, ()))[0].id)
        assert found.state is State.FAILED
        assert "SaveImage" in found.error

    talk(scenario, worker=True)


def test_a_graph_that_comfyui_refuses_is_not_accepted(talk):
    async def scenario(_, service):
        bad = job()
        bad.graph["paint"]["inputs"]["width"] = -5
        with pytest.raises(GraphError, match="EmptyImage: Value -5 smaller than min"):
            await service.jobs.submit(bad, ())
        assert service.jobs.store.count_waiting() == 0

    talk(scenario)


def test_a_job_taken_out_of_the_queue_is_reported(talk):
    async def scenario(_, service):
        kept, _ = await service.jobs.submit(job(), ())
        gone, _ = await service.jobs.submit(job(), ())
        service.jobs._queue._server.prompt_queue.delete_queue_item(lambda a: a[1] == gone.prompt_id)
        found = await ended(service, gone.id)
        assert (found.state, found.error) == (State.FAILED, "it was removed from ComfyUI's queue")
        assert (await service.find(kept.id)).state is State.WAITING

    talk(scenario)


def test_clearing_the_history_loses_no_picture(talk):
    async def scenario(_, service):
        queue = service.jobs._queue._server.prompt_queue
        added, _ = await service.jobs.submit(job(), ())
        service.jobs._queued.clear()  # nobody looks while it runs
        while not queue.history:
            await asyncio.sleep(0.01)
        queue.wipe_history()
        service.jobs._queued[added.prompt_id] = added
        assert (await ended(service, added.id)).state is State.DONE

    talk(scenario, worker=True)


def test_only_so_many_may_wait(talk):
    async def scenario(_, service):
        for _ in range(2):
            await service.jobs.submit(job(), ())
        with pytest.raises(FullError):
            await service.jobs.submit(job(), ())
        assert service.jobs._queue.length() == 2

    talk(scenario, queue=2)


def test_the_eta_learns_from_past_runs_and_counts_who_is_before(talk):
    async def scenario(_, service):
        store = service.jobs.store
        for seconds in (2.0, 4.0, 90.0):
            past = job(work=100.0)
            store.add(past, 10)
            store.finish(past.prompt_id, Outcome(({"filename": "x"},), seconds=seconds), 1.0)
        first, _ = await service.jobs.submit(job(work=100.0), ())
        second, _ = await service.jobs.submit(job(work=200.0), ())
        # The median of 2, 4 and 90 seconds for 100 units of work.
        assert await service.jobs.eta(first) == pytest.approx(4.0)
        assert await service.jobs.eta(second) == pytest.approx(12.0)

    talk(scenario)


def test_a_temporary_job_loses_its_pictures_after_a_day(talk):
    async def scenario(_, service):
        temporary, _ = await service.jobs.submit(job(temporary=True), ())
        kept, _ = await service.jobs.submit(job(), ())
        for each in (temporary, kept):
            await ended(service, each.id)
        late = "UPDATE jobs SET finished = finished - 90000"
        service.jobs.store._db.execute(late)
        service.jobs._swept = -1e9
        while len(files(service)) > 1:
            await asyncio.sleep(0.05)
        assert (await service.find(temporary.id)).outputs == ()
        assert pixels(service, await service.find(kept.id)) == [[0, 0, 255]]

    talk(scenario, worker=True)


def test_a_picture_that_leads_out_of_the_output_folder_is_not_given_out(talk, tmp_path):
    async def scenario(client, service):
        done = await ended(service, (await service.jobs.submit(job(), ()))[0].id)
        link = f"/ensemble/generations/0-{done.prompt_id}.png"
        async with client.get(link) as answer:
            assert (answer.status, answer.content_type) == (200, "image/png")
        path = service.jobs.picture_path(done.outputs[0])
        path.rename(tmp_path / "secret.png")
        path.symlink_to(tmp_path / "secret.png")
        async with client.get(link) as answer:
            assert answer.status == 404

    talk(scenario, worker=True)


def test_job_numbers_are_exact_in_javascript_and_not_in_a_row():
    numbers = [new_ids().id for _ in range(1000)]
    assert len(set(numbers)) == 1000
    assert all(2**52 <= number < 2**53 for number in numbers)
    # Each of the 52 random bits is set in about half of them.
    for bit in range(52):
        assert 350 < sum(number >> bit & 1 for number in numbers) < 650


@pytest.mark.parametrize(
    ("messages", "error"),
    [
        ([("execution_interrupted", {"timestamp": 5})], "it was interrupted"),
        ([], "ComfyUI gives no reason"),
        (
            [("execution_error", {"node_type": "KSampler", "exception_message": "no memory\n"})],
            "KSampler: no memory",
        ),
    ],
)
def test_an_ended_run_says_why(messages, error):
    entry = {"status": {"status_str": "error", "messages": messages}, "outputs": {}}
    assert read_history(entry).error == error
