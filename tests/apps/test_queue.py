"""Tests of the queue: order, places, times, cancelling, trainings that outlive a server."""

import tempfile
import threading
import time

import pytest

from apps.shared import visits
from apps.shared.queue import QUEUED, RESTARTED, HeavyQueue, Left, take_over
from vision_core import digits, runs

SHORT = digits.Settings(epochs=1, batches=1)


def wait_until(condition) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_positions_count_the_work_of_all_and_a_leaver_makes_room():
    queue = HeavyQueue(places=2)
    tickets = {owner: queue.join(owner) for owner in "abcd"}
    assert [queue.before(owner) for owner in "abcdx"] == [0, 0, 1, 2, None]
    queue.leave(tickets["c"])
    assert queue.before("d") == 1
    queue.leave(tickets["a"])
    assert queue.before("d") == 0


def test_one_owner_has_one_ticket_and_the_line_ends_somewhere():
    queue = HeavyQueue(places=1, waiting=1)
    queue.join("a")
    with pytest.raises(ValueError, match="still going on"):
        queue.join("a")
    queue.join("b")
    with pytest.raises(ValueError, match="1 visitors wait already"):
        queue.join("c")


def test_a_waiting_visitor_who_leaves_is_told_at_once():
    queue = HeavyQueue(places=1)
    queue.join("a")
    with pytest.raises(Left), queue.ticket("b") as turn:
        assert next(turn) == "One visitor is before you. Stop takes you out of the queue."
        assert queue.leave_line("b")
        next(turn)
    assert not queue.leave_line("a")  # its job is at work


def test_stop_and_start_at_once_is_another_ticket_and_the_first_job_never_runs():
    queue, began = HeavyQueue(places=1), []
    first = queue.join("before")

    def work(ticket, name: str) -> None:
        try:
            for _ in queue.wait(ticket):
                pass
            began.append(name)
        except Left:
            began.append(f"{name} left")
        finally:
            queue.leave(ticket)

    jobs = []
    for name in ("stopped", "started again"):
        queue.leave_line("me")
        jobs.append(threading.Thread(target=work, args=(queue.join("me"), name)))
        jobs[-1].start()
    jobs[0].join(30)
    assert began == ["stopped left"] and queue.before("me") == 1
    queue.leave(first)
    jobs[1].join(30)
    assert began == ["stopped left", "started again"] and queue.before("me") is None


def test_never_more_than_the_places_at_work():
    queue, at_work, most, lock = HeavyQueue(places=2), [], [], threading.Lock()

    def work(owner: str) -> None:
        with queue.ticket(owner) as turn:
            for _ in turn:
                pass
            with lock:
                at_work.append(owner)
                most.append(len(at_work))
            time.sleep(0.05)
            with lock:
                at_work.remove(owner)

    threads = [threading.Thread(target=work, args=(str(n),)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(most) == 6 and max(most) <= 2


def test_the_expected_time_is_that_of_a_simulation_of_the_places(monkeypatch):
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    queue = HeavyQueue(places=2)
    for seconds, kind in ((60, "book"), (90, "book"), (70, "book"), (10, "page")):
        ticket, now = queue.join("someone", kind), now + seconds
        queue.leave(ticket)
    for owner, kind in (("a", "book"), ("b", "page"), ("c", "book"), ("d", "page"), ("e", "page")):
        queue.join(owner, kind)
    # a ends at 70, b at 10: c takes b's place and ends at 80, d takes a's
    assert queue.words("c").startswith("One visitor is before you, about 10 s.")
    assert queue.words("d").startswith("2 visitors are before you, about 1 min 10 s.")
    assert queue.words("e").startswith("3 visitors are before you, about 1 min 20 s.")
    now += 6
    assert "about 4.0 s" in queue.words("c")
    queue.join("f", "never seen")
    queue.join("g", "page")
    assert queue.words("g").startswith("5 visitors are before you. Stop")


def test_a_training_keeps_its_place_until_its_process_ends(tmp_path):
    queue = HeavyQueue(places=1)
    run = runs.create(tmp_path / "run", "digits", SHORT)
    before = queue.join("before")
    queue.train("me", run)
    assert queue.before("me") == 1 and run.process() is None and (run.folder / QUEUED).exists()
    queue.leave(before)
    wait_until(lambda: queue.before("me") is None)
    assert run.status() == "done" and not (run.folder / QUEUED).exists()


@pytest.fixture
def visitors(tmp_path, monkeypatch):
    """Makes visits with a run each, in a folder of their own."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    def visit(settings: digits.Settings):
        visitor = visits.opened(visits.new("color-transfer"))
        return visitor.owner, runs.create(visitor.path("run"), "digits", settings)

    return visit


def test_a_new_server_counts_the_trainings_that_an_earlier_one_started(visitors):
    owner, run = visitors(digits.Settings(epochs=200, batches=1))
    runs.start(run)
    queue = HeavyQueue(places=1)
    take_over(queue)
    with pytest.raises(ValueError, match="still going on"):
        queue.join(owner)
    queue.join("stranger")
    assert queue.before("stranger") == 1
    wait_until(lambda: run.eta() is not None)
    assert queue.words("stranger").startswith("One visitor is before you, about ")
    runs.request_stop(run)
    wait_until(lambda: not queue.before("stranger"))
    assert run.process() is None


def test_what_waited_when_the_server_ended_starts_again_in_its_order(visitors):
    earlier = HeavyQueue(places=1)
    earlier.join("at work")
    waited = [visitors(SHORT) for _ in range(2)]
    for owner, run in waited:
        earlier.train(owner, run)
        time.sleep(0.02)  # a file system's clock
    queue = HeavyQueue(places=1)
    first = queue.join("new visitor")
    take_over(queue)
    assert [queue.before(owner) for owner, _ in waited] == [1, 2]
    assert queue.words(waited[0][0]).startswith(f"{RESTARTED}One visitor is before you")
    queue.leave(first)
    wait_until(lambda: queue.before(waited[1][0]) is None)
    assert [run.status() for _, run in waited] == ["done", "done"]
    take_over(queue)
    assert queue.before(waited[0][0]) is None  # what is done is not done again
