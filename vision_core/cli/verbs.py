"""Shared parts of all commands: `--json`, one-sentence error messages, progress bars."""

import inspect
import json
import os
import sys
from collections.abc import Callable, Generator, Iterable
from contextlib import nullcontext, redirect_stdout
from dataclasses import dataclass, field, replace
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vision_core.files import without_nan
from vision_core.runs import is_first_process
from vision_core.safety import messages

if TYPE_CHECKING:
    from vision_core.pictures.images import Picture

EXIT_INCOMPLETE, EXIT_MISTAKE, EXIT_INTERRUPTED = 1, 2, 130

# Options of every `train` command.
RunFolder = Annotated[Path | None, typer.Option("--out", help="Folder of the new run.")]
Replace = Annotated[bool, typer.Option("--replace", help="Replace an existing run in --out.")]
Resume = Annotated[Path | None, typer.Option(help="Resume the run in this folder, with its own settings.")]
Seed = Annotated[int, typer.Option(min=0, max=2**63 - 1, help="Random seed.")]
Device = Annotated[str, typer.Option(help="Device: auto, cpu, cuda or mps.")]
# Options of every command that processes a folder.
Ray = Annotated[
    str | None, typer.Option(help="Process files in parallel: local, or the address of a Ray cluster.")
]
Workers = Annotated[
    int | None, typer.Option(min=1, max=4096, help="Number of workers with --ray; by default as many as fit.")
]


@dataclass(frozen=True)
class Answer:
    """The result of a command: `text` for people, `data` for `--json`; `incomplete` sets exit status 1."""

    text: str
    data: dict[str, Any] = field(default_factory=dict)
    incomplete: bool = False


def command(
    app: typer.Typer, name: str | None = None
) -> Callable[[Callable[..., Answer]], Callable[..., Answer]]:
    """Register a function that returns an `Answer` as a command with a `--json` option.

    With `--json`, standard output is exactly one JSON object. User errors (`ValueError`, file and disk
    errors, missing weights or extras) print one sentence and exit with status 2, a partly failed batch exits
    with status 1, and an interrupt with status 130.

    A parameter named `given` does not become an option. It receives the names of the options that are on the
    command line.
    """

    def register(function: Callable[..., Answer]) -> Callable[..., Answer]:
        signature = inspect.signature(function)
        resumable = "resume" in signature.parameters

        @wraps(function)
        def run(context: typer.Context, *args: Any, as_json: bool, **kwargs: Any) -> None:
            try:
                given = _given(context)
                if kwargs.get("resume") is not None and (others := given.keys() - {"resume", "as_json"}):
                    first = given[min(others)]
                    raise ValueError(f"--resume keeps the settings of the run: remove {first}")
                _check_texts({**dict(zip(signature.parameters, args, strict=False)), **kwargs})
                if "given" in signature.parameters:
                    kwargs["given"] = {*given}
                # Ray reports lost workers on standard output, which must stay clean for --json
                with redirect_stdout(sys.stderr) if kwargs.get("ray") else nullcontext():
                    answer = function(*args, **kwargs)
            except KeyboardInterrupt as interrupt:
                kept = "; the training so far is saved, --resume continues it" if resumable else ""
                _fail(str(interrupt) or f"interrupted{kept}", EXIT_INTERRUPTED, as_json)
            except MemoryError:
                _fail("out of memory: use a smaller picture or file", EXIT_MISTAKE, as_json)
            except _mistakes() as error:
                _fail(_sentence(error), EXIT_MISTAKE, as_json)
            else:
                if is_first_process():  # all processes have the same answer
                    _print(json.dumps(without_nan(answer.data), allow_nan=False) if as_json else answer.text)
                if answer.incomplete:
                    raise typer.Exit(EXIT_INCOMPLETE)

        option = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
        first = inspect.Parameter("context", inspect.Parameter.POSITIONAL_ONLY, annotation=typer.Context)
        last = inspect.Parameter("as_json", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=option)
        options = [each for name, each in signature.parameters.items() if name != "given"]
        run.__signature__ = signature.replace(parameters=[first, *options, last])  # pyright: ignore[reportAttributeAccessIssue]
        run.__annotations__ = {**function.__annotations__, "context": typer.Context, "as_json": option}
        run.__annotations__.pop("given", None)
        app.command(name)(run)
        return function

    return register


def _check_texts(values: dict[str, Any]) -> None:
    """Reject text arguments that are not valid UTF-8; file names may be any bytes."""
    for name, value in values.items():
        for text in value if isinstance(value, list) else [value]:
            if isinstance(text, str) and not text.isascii():
                try:
                    text.encode()
                except UnicodeEncodeError:
                    raise ValueError(f"{name} is {messages.quote(text)}, which is not valid UTF-8") from None


def _given(context: typer.Context) -> dict[str, str]:
    """The parameters set on the command line, with their option names."""
    given = {}
    for parameter in context.command.params:
        source = context.get_parameter_source(parameter.name or "")
        if source is not None and source.name == "COMMANDLINE":
            given[parameter.name] = parameter.opts[0]
    return given


def report_usage_error(error: Any, as_json: bool) -> int:
    """Print the message of a typer usage error; returns the exit status."""
    if sentence := error.format_message():  # empty if the help was printed instead
        command_path = error.ctx.command_path if error.ctx else "vision-core"
        _report(f"{sentence.rstrip('.')}; see {command_path} --help", as_json)
    return error.exit_code


def with_notes(notes: Iterable[str]) -> str:
    """Format notes as indented lines below the name of a result."""
    return "".join(f"\n  note: {note}" for note in notes)


def noted(answer: Answer, *pictures: "Picture") -> Answer:
    """The answer with the notes on the pictures it is about, e.g. that one is damaged."""
    notes = [note for picture in pictures for note in picture.notes]
    return replace(answer, text=f"{answer.text}{with_notes(notes)}", data={**answer.data, "notes": notes})


def watch(events: Generator[Any], label: str) -> Any:
    """Consume events, showing progress on standard error, and return `Done.result`.

    In distributed training, only the first process shows progress.
    """
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
    from torch import distributed

    from vision_core.events import Done, Epoch, Prepare, Step

    console = Console(stderr=True, quiet=not is_first_process())
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[loss]}"),
        TimeRemainingColumn(),
    )
    result, printed = None, 0
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(label, total=None, loss="")
        try:
            for event in events:
                match event:
                    case Prepare(step, total):
                        bar.update(task, description="prepare", completed=step, total=total)
                        if not console.is_terminal and (step == total or step * 10 // total > printed):
                            printed = step * 10 // total % 10
                            console.print(f"prepare: {step} of {total}", highlight=False, soft_wrap=True)
                    case Step(step, total, losses, eta):
                        bar.update(task, description=label)
                        loss = f"loss {losses['total']:.4f}" if losses else ""  # no losses while preparing
                        bar.update(task, completed=step, total=total, loss=loss)
                        printed = 0 if step == 1 else printed
                        if not console.is_terminal and step * 10 // total > printed:
                            printed = step * 10 // total
                            left = f", {loss}, {eta:.0f} s left" if losses else ""
                            line = f"{label}: {printed * 10} %{left}"
                            console.print(line, highlight=False, soft_wrap=True)
                    case Epoch(epoch, epochs, metrics):
                        bar.console.print(f"epoch {epoch} of {epochs}: {_scalars(metrics)}", soft_wrap=True)
                    case Done(value):
                        result = value
        finally:
            events.close()  # saves a checkpoint after an interrupt
            if distributed.is_initialized():  # or its threads may abort the process at exit
                distributed.destroy_process_group()
    return result


def run_folder(out: Path | None) -> Path:
    """The folder of a new run; raises `ValueError` if --out is missing."""
    if out is None:
        raise ValueError("--out FOLDER is missing; to continue a run, use --resume FOLDER")
    return out


def stopped(folder: Path) -> Answer:
    """The answer of a training that was stopped on request."""
    return Answer(f"{folder}: stopped; --resume {folder} continues it", {"out": str(folder), "stopped": True})


def _scalars(metrics: dict[str, Any]) -> str:
    shown = {name: value for name, value in metrics.items() if isinstance(value, int | float)}
    return ", ".join(f"{name.replace('_', ' ')} {value:.4g}" for name, value in shown.items())


def _print(text: str) -> None:
    try:
        print(messages.printable(text, kept="\n\t"), flush=True)  # it may contain names of files and classes
    except OSError as error:  # a full disk or a closed pipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # further writes would fail, too
        _fail(_sentence(error), EXIT_MISTAKE, as_json=False)


def _mistakes() -> tuple[type[BaseException], ...]:
    from vision_core.weights import WeightsMissing

    return (ValueError, OSError, FloatingPointError, WeightsMissing, ImportError)


def _sentence(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    return messages.sentence(error)


def _fail(sentence: str, status: int, as_json: bool) -> None:
    _report(sentence, as_json)
    raise typer.Exit(status)


def _report(sentence: str, as_json: bool) -> None:
    sentence = messages.sentence(sentence)
    if as_json:
        print(json.dumps({"error": sentence}))
    else:
        print(f"vision-core: {sentence}", file=sys.stderr)
