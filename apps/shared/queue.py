"""One queue for the heavy jobs of all apps: a few run at once, the others wait and see their place."""

import statistics
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from heapq import heapify, heapreplace
from pathlib import Path

from apps.shared import visits
from apps.shared.progress import duration
from vision_core import runs

PLACES = 2  # heavy jobs of all apps that run at once on this server
WAITING = 20  # most visitors who may wait; others are asked to come back later
POLL = 0.25  # seconds between two checks of a place or a process
REMEMBERED = 20  # last durations of a kind, whose median predicts the next one
SECOND = "Something of yours is still going on: wait for its end, or stop it"
QUEUED = "queued"  # file that marks a waiting run, so that a new server queues it again
RESTARTED = "The server was restarted: it starts again when it is its turn. "


class Left(ValueError):
    """The waiting visitor was taken out of the queue."""


@dataclass(eq=False)
class Ticket:
    """The place of one job in the queue. A later job of the same owner gets a new ticket.

    Args:
        owner: the folder name of a visitor's session.
        kind: jobs of one kind take about as long.
        remaining: gives the seconds left of the running job, or None if unknown.
        restarted: whether it comes from the queue of an earlier server.
    """

    owner: str
    kind: str = ""
    remaining: Callable[[], float | None] = lambda: None
    restarted: bool = False
    began: float | None = None  # on the monotonic clock, when its turn came


class HeavyQueue:
    """Tickets in order of arrival; the first `places` are running. An owner has at most one."""

    def __init__(self, places: int = PLACES, waiting: int = WAITING) -> None:
        self.places, self.waiting = places, waiting
        self._tickets: list[Ticket] = []
        self._took: dict[str, deque[float]] = defaultdict(lambda: deque(maxlen=REMEMBERED))
        self._lock = threading.Lock()

    def join(self, owner: str, kind: str = "", restarted: bool = False) -> Ticket:
        """Take a ticket.

        Raises:
            ValueError: the owner has one already, or too many visitors wait.
        """
        return self._add(Ticket(owner, kind, restarted=restarted))

    def _add(self, ticket: Ticket) -> Ticket:
        with self._lock:
            if self._ticket_of(ticket.owner) is not None:
                raise ValueError(SECOND)
            if len(self._tickets) >= self.places + self.waiting:
                raise ValueError(
                    f"The server is busy and {self.waiting} visitors wait already: please come back later"
                )
            self._tickets.append(ticket)
            self._begin()
        return ticket

    def refuse_second(self, owner: str) -> None:
        """Raise `ValueError` if the owner already has a ticket."""
        if self.before(owner) is not None:
            raise ValueError(SECOND)

    def leave(self, ticket: Ticket) -> None:
        """Remove the ticket, waiting or running; nothing happens if it is no longer in the queue."""
        with self._lock:
            if ticket in self._tickets:
                self._tickets.remove(ticket)
                if ticket.began is not None:
                    self._took[ticket.kind].append(time.monotonic() - ticket.began)
                self._begin()

    def leave_line(self, owner: str) -> bool:
        """Remove the owner's job if it still waits; whether it did."""
        with self._lock:
            ticket = self._ticket_of(owner)
            if ticket is None or ticket.began is not None:
                return False
            self._tickets.remove(ticket)
            return True

    def before(self, owner: str) -> int | None:
        """Number of jobs before the owner's: 0 if it is running, None without a ticket."""
        with self._lock:
            ticket = self._ticket_of(owner)
            return None if ticket is None else self._ahead(ticket)

    def words(self, owner: str) -> str:
        """The message for a waiting owner."""

        with self._lock:
            ticket = self._ticket_of(owner)
            ahead = self._ahead(ticket) if ticket else 0
            jobs = list(self._tickets)
        if not ahead:
            return "It is your turn: starting …"
        seconds = self._expected(jobs, ahead)
        others = "One visitor is" if ahead == 1 else f"{ahead} visitors are"
        about = f", about {duration(seconds)}" if seconds is not None else ""
        again = RESTARTED if ticket is not None and ticket.restarted else ""
        return f"{again}{others} before you{about}. Stop takes you out of the queue."

    def wait(self, ticket: Ticket) -> Iterator[str]:
        """Yield the message for the waiting owner again and again, until it is the ticket's turn.

        Raises:
            Left: the ticket was taken out of the queue.
        """
        while ticket.began is None:
            if ticket not in self._tickets:
                raise Left("You left the queue")
            yield self.words(ticket.owner)
            time.sleep(POLL)

    @contextmanager
    def ticket(self, owner: str, kind: str = "") -> Iterator[Iterator[str]]:
        """Hold a ticket in a `with` block; first exhaust the yielded iterator, the messages of `wait`."""
        ticket = self.join(owner, kind)
        try:
            yield self.wait(ticket)
        finally:
            self.leave(ticket)

    def train(self, owner: str, run: runs.Run, restarted: bool = False) -> None:
        """Start `run` in a separate process when it is the owner's turn, and hold the place until it ends.

        Returns at once: no page has to stay open for it. A server that starts while the run waits puts it
        into its queue: see `take_over`.
        """
        ticket = self._add(Ticket(owner, run.config["system"], run.eta, restarted))
        (run.folder / QUEUED).touch()
        threading.Thread(target=self._train, args=(ticket, run), daemon=True).start()

    def adopt(self, owner: str, run: runs.Run) -> None:
        """Count a running training of an earlier server, unless its owner already has a ticket."""
        ticket = Ticket(owner, run.config["system"], run.eta)
        with self._lock:
            if self._ticket_of(owner) is not None:
                return
            self._tickets.insert(0, ticket)
            self._begin()
        threading.Thread(target=self._train, args=(ticket, run), daemon=True).start()

    def _train(self, ticket: Ticket, run: runs.Run) -> None:
        try:
            for _ in self.wait(ticket):
                pass
            if run.process() is None:
                runs.start(run)
            (run.folder / QUEUED).unlink(missing_ok=True)
            while run.process() is not None:
                time.sleep(POLL)
        except Left:
            pass
        finally:
            (run.folder / QUEUED).unlink(missing_ok=True)
            self.leave(ticket)

    def _ticket_of(self, owner: str) -> Ticket | None:
        return next((ticket for ticket in self._tickets if ticket.owner == owner), None)

    def _ahead(self, ticket: Ticket) -> int:
        if ticket.began is not None:
            return 0
        return max(1, self._tickets.index(ticket) - self.places + 1)

    def _begin(self) -> None:
        """Mark the first tickets as running."""
        for ticket in self._tickets[: self.places]:
            if ticket.began is None:
                ticket.began = time.monotonic()

    def _expected(self, jobs: list[Ticket], ahead: int) -> float | None:
        """Seconds until a ticket with `ahead` jobs before it starts; None if a duration is unknown."""
        at_work = [job for job in jobs if job.began is not None]
        waiting = [job for job in jobs if job.began is None][: ahead - 1]
        free, then = [], []
        for seconds, into in (
            *((self._remaining(job), free) for job in at_work),
            *((self._median_seconds(job.kind), then) for job in waiting),
        ):
            if seconds is None:
                return None
            into.append(seconds)
        if not free:
            return None
        heapify(free)
        for seconds in then:
            heapreplace(free, free[0] + seconds)
        return free[0]

    def _remaining(self, job: Ticket) -> float | None:
        remaining, usual = job.remaining(), self._median_seconds(job.kind)
        if remaining is not None or usual is None or job.began is None:
            return remaining
        return max(usual - (time.monotonic() - job.began), usual / 10)

    def _median_seconds(self, kind: str) -> float | None:
        took = list(self._took[kind]) if kind in self._took else []
        return statistics.median(took) if took else None


def take_over(queue: HeavyQueue, folders: Iterable[tuple[str, Path]] | None = None) -> None:
    """Put the trainings of an earlier server into `queue`: the running ones, then the waiting ones in order.

    Args:
        folders: pairs of an owner and the folder of its runs; by default all visits.
    """
    waiting: list[tuple[float, str, runs.Run]] = []
    for owner, folder in folders or [(folder.name, folder) for folder in visits.everyone()]:
        for run in visits.trainings(folder):
            queue.adopt(owner, run)
        for mark in folder.rglob(QUEUED):
            run = runs.Run(mark.parent)
            if run.process() is None and (run.folder / "config.json").exists():
                waiting.append((mark.stat().st_mtime, owner, run))
    for _, owner, run in sorted(waiting, key=lambda entry: entry[0]):
        with suppress(ValueError):  # the queue is full
            queue.train(owner, run, restarted=True)


HEAVY = HeavyQueue()
