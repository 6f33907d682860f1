"""The network for a restoration: bundled, trained by the visitor, or none."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from apps.restoration.visit import current
from apps.shared.visits import Session
from vision_core import restoration, runs

HOW = [
    ("Network", "network"),
    ("My own network", "own"),
    ("More contrast and sharper (CLAHE)", "classical"),
    ("Less noise (non-local means)", "denoise"),
]
BEST = "best.safetensors"


def method_of(name: Any) -> Any:
    """Translate a choice on the page to `Options.method`."""
    if name not in [value for _, value in HOW]:
        raise ValueError(f"There is no way to restore called {name!r}")
    return "network" if name == "own" else name


def loader(session: Session, name: str) -> Callable[[], Any]:
    """A function that loads the chosen network, or gives None if the method needs none.

    Raises `ValueError` if the visitor has not trained one.
    """
    if name == "own":
        run = own_run(session)
        if run is None or not (run.folder / BEST).exists():
            raise ValueError("You have not trained a network here yet: use the Train tab")
        return lambda: restoration.load(run.folder / BEST)[0]
    return embedded if method_of(name) == "network" else lambda: None


def version(session: Session, name: str) -> str:
    """The version of the chosen network; a visitor's own may be trained further."""
    run = own_run(session) if name == "own" else None
    return f"{name} {(run.folder / BEST).stat().st_mtime_ns}" if run else name


def own_run(session: Session) -> runs.Run | None:
    """The training of a visit, if any."""
    name = current(session).run
    return runs.Run(session.path(name)) if name else None


@lru_cache(1)
def embedded() -> Any:
    """The network of this release; read only, for all visitors."""
    return restoration.load()[0]
