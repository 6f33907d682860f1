"""Tests of background jobs: place in the queue, progress, end, restart."""

import threading
import time

import pytest

from apps.shared import jobs, queue, visits


@pytest.fixture
def visitor(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return visits.new("test")


def ended(visitor, name: str = "work") -> dict:
    end = time.monotonic() + 30
    while (state := jobs.state(visitor, name))["status"] in jobs.GOING_ON:
        assert time.monotonic() < end
        time.sleep(0.01)
    while queue.HEAVY.before(visitor.owner) is not None:  # the place is given back, or this hangs
        time.sleep(0.01)
    return state


def test_a_job_tells_how_far_it_is_and_how_it_ended(visitor):
    go_on = threading.Event()

    def act(job: jobs.Job) -> str:
        job.tell(1, 4, "part 1 of 4")
        go_on.wait(30)
        return "All is done."

    assert jobs.report(visitor, "work") == ("", False)
    jobs.begin(visitor, "work", act, pages=[])
    while jobs.state(visitor, "work").get("step") != 1:
        time.sleep(0.01)
    words, going_on = jobs.report(visitor, "work")
    assert going_on and 'aria-valuenow="25"' in words and "part 1 of 4" in words and "left" in words
    assert jobs.state(visitor, "work")["pages"] == []
    with pytest.raises(ValueError, match="still going on"):
        jobs.begin(visitor, "other", act)
    go_on.set()
    assert ended(visitor)["status"] == "done"
    assert "All is done." in jobs.report(visitor, "work")[0]


@pytest.mark.parametrize(
    ("error", "words"),
    [(ValueError("the page is empty"), "The page is empty."), (KeyError(1), "on our side")],
)
def test_a_fault_is_a_sentence(visitor, error, words):
    def act(job: jobs.Job) -> str:
        raise error

    jobs.begin(visitor, "work", act)
    state = ended(visitor)
    assert state["status"] == "failed" and words in state["words"]


def test_stop_ends_a_job_at_its_next_word_and_takes_a_waiting_one_out_of_the_queue(visitor):
    def act(job: jobs.Job) -> str:
        while True:
            job.tell(0, 1)
            time.sleep(0.01)

    with pytest.raises(ValueError, match="Nothing of yours"):
        jobs.stop(visitor)
    jobs.begin(visitor, "work", act)
    jobs.stop(visitor)
    assert ended(visitor)["status"] == "stopped"
    tickets = [queue.HEAVY.join(f"other-{number}") for number in range(queue.PLACES)]
    try:
        jobs.begin(visitor, "work", act)
        words, going_on = jobs.report(visitor, "work")
        assert going_on and "before you" in words
        jobs.stop(visitor)
        assert ended(visitor)["status"] == "stopped"
    finally:
        for ticket in tickets:
            queue.HEAVY.leave(ticket)


def test_what_a_restart_ended_says_so(visitor):
    path = visits.opened(visitor).path("work.json")
    path.write_text('{"status": "working", "words": "part 1", "step": 1, "total": 4, "eta": 3}')
    words, going_on = jobs.report(visitor, "work")
    assert not going_on and "restarted" in words
