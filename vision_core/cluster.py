"""Runs a folder job on the workers of a Ray cluster; each worker loads the model once."""

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from vision_core import extras, folders
from vision_core.folders import Outcome
from vision_core.safety.messages import reason

LOCAL = "local"  # address that starts a temporary cluster on this machine
RETRIES = 3  # per task, if its worker dies
QUEUED = 2  # tasks per worker: one running, one waiting; keeps workers busy with little in memory

Act = Callable[[Sequence[Path], Path], Any]


@dataclass(frozen=True)
class Task:
    """Files to read, and the target: a path, an fsspec URL such as s3://BUCKET/NAME, or "" for none."""

    sources: tuple[Path, ...]
    target: str = ""


def each(
    tasks: Collection[Task], load: Callable[[], Act], address: str, workers: int | None = None
) -> Iterator[Outcome[Task, Any]]:
    """Run every task once, in any order; a bad file is reported as an outcome, as in `folders.each`.

    Sources are read here and sent to the workers. Targets that are paths are written by the workers, so they
    must be on a shared disk; targets that are URLs are uploaded by the workers. If a worker dies, it is
    restarted and its tasks are retried.

    Args:
        load: called once per worker; returns a function of (local copies of the sources, target). Both are
            pickled.
        address: `LOCAL`, "auto", or the address of a cluster.
        workers: number of workers; by default one per GPU or, without GPUs, one per core. Never more than
            there are tasks.

    Raises:
        ExtraMissing: Ray is not installed.
        ValueError: there is no cluster at `address`.
        OSError: a disk is full.
    """
    with connected(address, workers) as ray:
        held = [ray.put(load)]  # kept alive, because workers may be restarted
        actors = _start(ray, held, workers, len(tasks))
        yield from _spread(ray, actors, iter(tasks))


def files(
    pairs: Sequence[tuple[Path, Path]],
    act: Callable[[Path, Path], Any],
    address: str | None,
    workers: int | None = None,
) -> Iterator[Outcome[tuple[Path, Path], Any]]:
    """Call `act(source, target)` for every pair: sequentially, or on the cluster at `address`.

    Raises:
        ValueError: as in `each`, or a target is a URL and there is no `address`.
    """
    if not pairs:
        return
    if address is None:
        if any(is_url(target) for _, target in pairs):
            raise ValueError("writing to a URL needs --ray; --ray local uses this machine")
        yield from folders.each(pairs, lambda pair: act(*pair))
        return
    pair_of = {Task((source,), as_typed(target)): (source, target) for source, target in pairs}
    for outcome in each(pair_of, partial(_for_one, act), address, workers):
        yield Outcome(pair_of[outcome.item], outcome.result, outcome.error)


def mapped(
    act: Callable[[Sequence[Path]], Any],
    lists: Iterable[list[Path]],
    address: str,
    workers: int | None = None,
) -> list[Any]:
    """Like `map`, for a function of a list of files that writes nothing.

    Raises:
        ValueError: a file cannot be read, or repeatedly kills its worker.
    """
    tasks = [Task(tuple(files)) for files in lists]
    results = {}
    for outcome in each(tasks, partial(_for_all, act), address, workers):
        if outcome.error:
            raise ValueError(outcome.error)
        results[outcome.item] = outcome.result
    return [results[task] for task in tasks]


def _for_all(act: Callable[[Sequence[Path]], Any]) -> Act:
    return lambda sources, _: act(sources)


def _for_one(act: Callable[[Path, Path], Any]) -> Act:
    return lambda sources, target: act(sources[0], target)


def _contents(task: Task) -> list[tuple[str, bytes]]:
    return [(str(path), path.read_bytes()) for path in task.sources]


def is_url(target: Path | str) -> bool:
    return "://" in as_typed(target)


def as_typed(target: Path | str) -> str:
    """The target as the user typed it: `Path` collapses the slashes of a URL; file:/// names no host."""
    text = str(target)
    scheme, separator, rest = text.partition(":/")
    is_short = separator and len(scheme) > 1 and scheme.isalnum() and not rest.startswith("/")
    slashes = "///" if scheme.lower() in ("file", "local") else "//"
    return f"{scheme}:{slashes}{rest}" if is_short else text


def below(url: str) -> set[str]:
    """The names of all files below a URL; empty if it does not exist yet."""
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
    """Upload every file below `folder` to `url`, in the order of their names."""
    from fsspec.core import url_to_fs

    system, root = url_to_fs(url)
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        place = f"{root.rstrip('/')}/{path.relative_to(folder).as_posix()}"
        system.makedirs(place.rpartition("/")[0], exist_ok=True)
        system.put_file(str(path), place)


class Worker:
    """A Ray actor that loads the model once and runs one task after the other."""

    def __init__(self, held: Sequence[Any]) -> None:
        import ray

        from vision_core import torchvision_cpu

        self.fault: Exception | None = None
        try:
            torchvision_cpu.prepare()  # networks may be built from torchvision's
            load: Any = ray.get(held[0])
            self.act: Act = load()
        except Exception as error:  # if raised here, Ray would wrap it in a page of text
            self.fault = error

    def ready(self) -> Exception | None:
        return self.fault

    def work(self, contents: Sequence[tuple[str, bytes]], target: str) -> tuple[Any, str]:
        """Returns (result, "") or (None, error message)."""
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
    """Connect to Ray, without usage statistics and without a dashboard.

    An existing connection is reused, so that several jobs can share it. Raises the same errors as `each`.
    """
    extras.need("cluster", "jobs on a cluster", "ray")
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # read at import
    # its log is of no use to the user, and warns about references that `held` keeps alive
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    options: dict[str, Any] = {"logging_level": "ERROR", "log_to_driver": False}
    if address == LOCAL:
        options |= {"num_cpus": workers, "include_dashboard": False}
        for name, limit in (("raylet_start_wait_time_s", "120"), ("agent_register_timeout_ms", "120000")):
            os.environ.setdefault(f"RAY_{name}", limit)  # Ray starts slowly on a busy machine
    else:
        options["address"] = address
    import ray

    if ray.is_initialized():
        yield ray
        return
    try:
        ray.init(**options)
    except Exception as error:  # Ray's own exceptions, gRPC's and built-in ones
        raise ValueError(f"cannot connect to a Ray cluster at {address!r}: {reason(error)}") from error
    try:
        yield ray
    finally:
        ray.shutdown()


def _start(ray: Any, held: Sequence[Any], workers: int | None, tasks: int) -> list[Any]:
    """Start the workers, each with one core and, if the cluster has GPUs, one GPU."""
    resources = ray.cluster_resources()
    gpus, cores = int(resources.get("GPU", 0)), int(resources.get("CPU", 1))
    count = workers or gpus or max(1, cores)
    options = {"max_restarts": -1, "max_task_retries": RETRIES, "num_cpus": 1, "num_gpus": 1 if gpus else 0}
    if count > cores or (gpus and count > gpus):
        places = f"{gpus} GPUs" if gpus else f"{cores} cores"
        raise ValueError(f"{count} workers were requested, but the cluster has {places}")
    actor = ray.remote(Worker).options(**options)
    actors = [actor.remote(held) for _ in range(min(count, tasks))]
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
        return Outcome(task, error=f"{names}: the worker died {RETRIES + 1} times on it")
    return Outcome(task, result, error)
