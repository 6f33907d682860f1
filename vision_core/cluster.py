"""Spreads a folder job over the workers of a Ray cluster; each loads its model once."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from vision_core import extras, folders
from vision_core.folders import Outcome
from vision_core.safety.messages import reason

LOCAL = "local"  # the address that starts a cluster on this machine, for this job alone
RETRIES = 3  # of a task whose worker was lost
QUEUED = 2  # tasks a worker: one at work and one that waits, so that none is idle and little is in memory

Act = Callable[[Sequence[Path], Path], Any]


@dataclass(frozen=True)
class Task:
    """Files to read, and where the result goes: a path, a URL of fsspec such as s3://BUCKET/NAME, or ""."""

    sources: tuple[Path, ...]
    target: str = ""


def each(
    tasks: Iterable[Task], load: Callable[[], Act], address: str, workers: int | None = None
) -> Iterator[Outcome[Task, Any]]:
    """Carry out every task once, in whatever order; a file at fault is an outcome, as in `folders.each`.

    The sources are read here and sent along; a target that is a path is written by the worker, so it must be
    on a disk that all machines share, and a target that is a URL is uploaded by the worker. A worker that is
    lost is started again, and its tasks with it.

    Args:
        load: called once in each worker; gives what is called with the files, as they lie there, and the
            target. Both are pickled.
        address: `LOCAL`, "auto", or the address of a cluster.
        workers: how many; without it one for each GPU or, where there is none, for each core.

    Raises:
        ExtraMissing: Ray is not installed.
        ValueError: no cluster at `address`.
        OSError: a disk is full, which no other task would mend.
    """
    with connected(address, workers) as ray:
        held = [ray.put(load)]  # for as long as a worker may have to be started again
        actors = _start(ray, held, workers)
        yield from _spread(ray, actors, iter(tasks))


def files(
    pairs: Sequence[tuple[Path, Path]],
    act: Callable[[Path, Path], Any],
    address: str | None,
    workers: int | None = None,
) -> Iterator[Outcome[tuple[Path, Path], Any]]:
    """`act(source, target)` for every pair: one after the other, or with an `address` by `each`.

    Raises:
        ValueError: also a URL among the targets without an `address`.
    """
    if not pairs:
        return
    if address is None:
        if any(is_url(target) for _, target in pairs):
            raise ValueError("results go to a URL with --ray alone: --ray local uses this machine")
        yield from folders.each(pairs, lambda pair: act(*pair))
        return
    asked = {Task((source,), as_typed(target)): (source, target) for source, target in pairs}
    for outcome in each(asked, partial(_for_one, act), address, workers):
        yield Outcome(asked[outcome.item], outcome.result, outcome.error)


def mapped(
    act: Callable[[Sequence[Path]], Any],
    lists: Iterable[list[Path]],
    address: str,
    workers: int | None = None,
) -> list[Any]:
    """As `map`, of a function of a list of files that writes nothing.

    Raises:
        ValueError: a file that cannot be read, or at which the worker was lost again and again.
    """
    tasks = [Task(tuple(files)) for files in lists]
    found = {}
    for outcome in each(tasks, partial(_for_all, act), address, workers):
        if outcome.error:
            raise ValueError(outcome.error)
        found[outcome.item] = outcome.result
    return [found[task] for task in tasks]


def _for_all(act: Callable[[Sequence[Path]], Any]) -> Act:
    return lambda sources, _: act(sources)


def _for_one(act: Callable[[Path, Path], Any]) -> Act:
    return lambda sources, target: act(sources[0], target)


def _contents(task: Task) -> list[tuple[str, bytes]]:
    return [(str(path), path.read_bytes()) for path in task.sources]


def is_url(target: Path | str) -> bool:
    return "://" in as_typed(target)


def as_typed(target: Path | str) -> str:
    """A target as it was typed: a `Path` loses a slash of a URL."""
    text = str(target)
    scheme, separator, rest = text.partition(":/")
    is_short = separator and len(scheme) > 1 and scheme.isalnum() and not rest.startswith("/")
    return f"{scheme}://{rest}" if is_short else text


def below(url: str) -> set[str]:
    """The names of all files below a URL; none where there is nothing yet."""
    extras.need("cluster", "files at a URL", "fsspec")
    from fsspec.core import url_to_fs

    system, root = url_to_fs(url)
    try:
        return {name.removeprefix(root.rstrip("/") + "/") for name in system.find(root)}
    except FileNotFoundError:
        return set()


def download(url: str, path: Path) -> None:
    from fsspec.core import url_to_fs

    system, place = url_to_fs(url)
    system.get_file(place, str(path))


def remove(url: str) -> None:
    from fsspec.core import url_to_fs

    system, place = url_to_fs(url)
    system.rm_file(place)


def upload(folder: Path, url: str) -> None:
    """Put every file below `folder` below `url`, in the order of their names."""
    from fsspec.core import url_to_fs

    system, root = url_to_fs(url)
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        place = f"{root.rstrip('/')}/{path.relative_to(folder).as_posix()}"
        system.makedirs(place.rpartition("/")[0], exist_ok=True)
        system.put_file(str(path), place)


class Worker:
    """An actor: the model, loaded once, and one task after the other."""

    def __init__(self, held: Sequence[Any]) -> None:
        import ray

        from vision_core import torchvision_cpu

        self.fault: Exception | None = None
        try:
            torchvision_cpu.prepare()  # a network may have parts of torchvision's
            load: Any = ray.get(held[0])
            self.act: Act = load()
        except Exception as error:  # raised in here, Ray would wrap it into a page of text
            self.fault = error

    def ready(self) -> Exception | None:
        return self.fault

    def work(self, contents: Sequence[tuple[str, bytes]], target: str) -> tuple[Any, str]:
        """(result, "") or (None, what is wrong with the file)."""
        if self.fault is not None:
            raise self.fault
        with TemporaryDirectory(prefix="vision-core-") as scratch:
            sources, out = [], Path(scratch) / "out"
            for number, (name, data) in enumerate(contents):
                sources.append(Path(scratch) / str(number) / Path(name).name)
                sources[-1].parent.mkdir()
                sources[-1].write_bytes(data)
            parent, _, name = target.rpartition("/")
            local = out / name if is_url(target) else Path(target)
            [done] = folders.each([local], lambda place: self.act(sources, place))
            if is_url(target) and not done.error:
                upload(out, parent)
            error = done.error
            for source, (name, _) in zip(sources, contents, strict=True):
                error = error.replace(str(source), name)
            return done.result, error


@contextmanager
def connected(address: str, workers: int | None) -> Iterator[Any]:
    """Ray, connected; it sends no statistics, has no dashboard, and asks for a token.

    A connection that is there already is used, so that several jobs can share one; see `each` for the errors.
    """
    extras.need("cluster", "jobs on a cluster", "ray")
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # read when it is imported
    # its own words say nothing to the person, and that it cannot know `held` to be kept
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    given: dict[str, Any] = {"logging_level": "ERROR", "log_to_driver": False}
    if address == LOCAL:
        given |= {"num_cpus": workers, "include_dashboard": False}
        for name, most in (("raylet_start_wait_time_s", "120"), ("agent_register_timeout_ms", "120000")):
            os.environ.setdefault(f"RAY_{name}", most)  # a busy machine is slow to start it
    else:
        given["address"] = address
    import ray

    if ray.is_initialized():
        yield ray
        return
    try:
        ray.init(**given)
    except Exception as error:  # it raises its own, those of gRPC, and plain ones
        raise ValueError(
            f"there is no Ray cluster at {address!r} that lets us in: {reason(error)}"
        ) from error
    try:
        yield ray
    finally:
        ray.shutdown()


def _start(ray: Any, held: Sequence[Any], workers: int | None) -> list[Any]:
    """The workers, each with a core and, where the cluster has GPUs, with one of them."""
    here = ray.cluster_resources()
    gpus = int(here.get("GPU", 0))
    count = workers or gpus or max(1, int(here.get("CPU", 1)))
    options = {"max_restarts": -1, "max_task_retries": RETRIES, "num_cpus": 1, "num_gpus": 1 if gpus else 0}
    if count > int(here.get("CPU", 1)) or (gpus and count > gpus):
        raise ValueError(f"{count} workers were asked for; the cluster has {gpus or int(here['CPU'])} places")
    actor = ray.remote(Worker).options(**options)
    actors = [actor.remote(held) for _ in range(count)]
    for fault in ray.get([one.ready.remote() for one in actors]):
        if fault is not None:
            raise fault
    return actors


def _spread(ray: Any, actors: list[Any], tasks: Iterator[Task]) -> Iterator[Outcome[Task, Any]]:
    running: dict[Any, tuple[Task, Any]] = {}
    unread: list[Outcome[Task, Any]] = []

    def start(actor: Any) -> None:
        for task in tasks:
            try:
                contents = _contents(task)
            except OSError as error:
                unread.append(Outcome(task, error=f"{error.filename}: {reason(error)}"))
                continue
            running[actor.work.remote(contents, task.target)] = task, actor
            return

    for actor in actors * QUEUED:
        start(actor)
    while running or unread:
        while unread:
            yield unread.pop(0)
        if running:
            [done], _ = ray.wait(list(running), num_returns=1)
            task, actor = running.pop(done)
            start(actor)
            yield _outcome(ray, done, task)


def _outcome(ray: Any, done: Any, task: Task) -> Outcome[Task, Any]:
    try:
        result, error = ray.get(done)
    except ray.exceptions.RayTaskError as wrapped:
        raise wrapped.cause from None
    except ray.exceptions.RayActorError:
        names = ", ".join(map(str, task.sources))
        return Outcome(task, error=f"{names}: the worker was lost {RETRIES + 1} times at it")
    return Outcome(task, result, error)
