"""One queue for the heavy work of all apps: a few at once, the others are told how many are before them."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from vision_core import runs

PLACES = 2  # heavy jobs that run at once on this server, of whatever app
WAITING = 20  # visitors who may wait; the next is told to come back
POLL = 0.25  # seconds between two looks at a place or at a process


class Left(ValueError):
    """The waiting visitor was taken out of the queue."""


class HeavyQueue:
    """Tickets in the order of arrival; the owners of the first `places` are at work.

    An owner is the folder name of a visitor's session and has at most one ticket.
    """

    def __init__(self, places: int = PLACES, waiting: int = WAITING) -> None:
        self.places, self.waiting = places, waiting
        self._owners: list[str] = []
        self._lock = threading.Lock()

    def join(self, owner: str) -> None:
        """Take a ticket.

        Raises:
            ValueError: the owner has one already, or too many visitors wait.
        """
        with self._lock:
            if owner in self._owners:
                raise ValueError("Something of yours is still going on: wait for its end, or stop it")
            if len(self._owners) >= self.places + self.waiting:
                raise ValueError(
                    f"The server is busy and {self.waiting} visitors wait already: please come back later"
                )
            self._owners.append(owner)

    def leave(self, owner: str) -> None:
        """Give the ticket back, waiting or at work; without one, nothing happens."""
        with self._lock:
            if owner in self._owners:
                self._owners.remove(owner)

    def before(self, owner: str) -> int | None:
        """How many must finish first: 0 at work, None without a ticket."""
        with self._lock:
            if owner not in self._owners:
                return None
            return max(0, self._owners.index(owner) - self.places + 1)

    def wait(self, owner: str) -> Iterator[int]:
        """Yield how many are before the owner, again and again, until it is the owner's turn.

        Raises:
            Left: the ticket is gone.
        """
        while (ahead := self.before(owner)) != 0:
            if ahead is None:
                raise Left("You left the queue")
            yield ahead
            time.sleep(POLL)

    @contextmanager
    def ticket(self, owner: str) -> Iterator[Iterator[int]]:
        """A ticket for the block; go through the yielded iterator first, showing each number of `wait`."""
        self.join(owner)
        try:
            yield self.wait(owner)
        finally:
            self.leave(owner)

    def train(self, owner: str, run: runs.Run) -> None:
        """Start `run` in a process of its own when it is the owner's turn, and keep the place until it ends.

        Returns at once: no page has to stay open for it.
        """
        self.join(owner)
        threading.Thread(target=self._train, args=(owner, run), daemon=True).start()

    def adopt(self, owner: str, run: runs.Run) -> None:
        """Count a training that an earlier server started and that still goes on; a second one of the owner's
        is left alone.
        """
        with self._lock:
            if owner in self._owners:
                return
            self._owners.insert(0, owner)
        threading.Thread(target=self._train, args=(owner, run, True), daemon=True).start()

    def _train(self, owner: str, run: runs.Run, started: bool = False) -> None:
        try:
            for _ in () if started else self.wait(owner):
                pass
            if not started:
                runs.start(run)
            while run.process() is not None:
                time.sleep(POLL)
        except Left:
            pass
        finally:
            self.leave(owner)


def words(ahead: int) -> str:
    """What a waiting visitor is told."""
    others = "One visitor is" if ahead == 1 else f"{ahead} visitors are"
    return f"{others} before you. Stop takes you out of the queue."


HEAVY = HeavyQueue()
