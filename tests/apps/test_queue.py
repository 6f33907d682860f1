"""The one queue of heavy work: order, positions, leaving, and a training that holds its place by itself."""

import tempfile
import threading
import time

import pytest

from apps import session
from apps.queue import HeavyQueue, Left, words
from vision_core import digits, runs


def test_positions_count_the_work_of_all_and_a_leaver_makes_room():
    queue = HeavyQueue(places=2)
    for owner in "abcd":
        queue.join(owner)
    assert [queue.before(owner) for owner in "abcdx"] == [0, 0, 1, 2, None]
    queue.leave("c")
    assert queue.before("d") == 1
    queue.leave("a")
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
        assert next(turn) == 1
        queue.leave("b")
        next(turn)
    assert words(1).startswith("One visitor is before you") and words(3).startswith("3 visitors are")


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


def test_a_training_keeps_its_place_until_its_process_ends(tmp_path):
    queue = HeavyQueue(places=1)
    run = runs.create(tmp_path / "run", "digits", digits.Settings(epochs=1, batches=1))
    queue.join("before")
    queue.train("me", run)
    assert queue.before("me") == 1 and run.process() is None
    queue.leave("before")
    deadline = time.monotonic() + 120
    while queue.before("me") is not None:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert run.status() == "done"


def test_a_new_server_counts_the_trainings_that_an_earlier_one_started(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    visitor = session.opened(session.new("color-transfer"))
    run = runs.create(visitor.path("run"), "digits", digits.Settings(epochs=200, batches=1))
    runs.start(run)
    queue = HeavyQueue(places=1)
    for folder in session.everyone():
        for going_on in session.trainings(folder):
            queue.adopt(folder.name, going_on)
    with pytest.raises(ValueError, match="still going on"):
        queue.join(visitor.owner)
    queue.join("stranger")
    assert queue.before("stranger") == 1
    runs.request_stop(run)
    deadline = time.monotonic() + 120
    while queue.before("stranger"):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert run.process() is None and list(session.trainings(visitor.folder)) == []
