"""What every command shares: `--json`, one sentence for a mistake, a bar for long work."""

import inspect
import json
import os
import sys
from collections.abc import Callable, Generator, Iterable
from contextlib import nullcontext, redirect_stdout
from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import typer

from vision_core.files import without_nan
from vision_core.runs import is_first_process
from vision_core.safety import messages

EXIT_INCOMPLETE, EXIT_MISTAKE, EXIT_INTERRUPTED = 1, 2, 130

# Options that every `train` has.
RunFolder = Annotated[Path | None, typer.Option("--out", help="Folder of the new run.")]
Replace = Annotated[bool, typer.Option("--replace", help="Remove an earlier run in --out first.")]
Resume = Annotated[Path | None, typer.Option(help="Go on with the run in this folder, as it was started.")]
Seed = Annotated[int, typer.Option(min=0, max=2**63 - 1, help="Decides every random number.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")]
# Options of every command that works through a folder.
Ray = Annotated[
    str | None,
    typer.Option(help="Spread the files over workers: local, or the address of a Ray cluster."),
]
Workers = Annotated[int | None, typer.Option(min=1, help="With --ray: how many, else all there is room for.")]


@dataclass(frozen=True)
class Answer:
    """What a command found: `text` for a person, `data` for `--json`; `incomplete` ends it with status 1."""

    text: str
    data: dict[str, Any] = field(default_factory=dict)
    incomplete: bool = False


def command(
    app: typer.Typer, name: str | None = None
) -> Callable[[Callable[..., Answer]], Callable[..., Answer]]:
    """Register a function that returns an `Answer` as a command with `--json`.

    A parameter `given` is no option: it receives the names of those that the command line has.

    With `--json` it prints one JSON object on standard output and nothing else. The user's mistake
    (`ValueError`, a file or disk error, missing weights or extras) is one sentence and exit status 2; a batch
    of which some failed is status 1; an interrupt is status 130.
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
                    raise ValueError(f"--resume goes on as the run was started: leave {first} out")
                _check_texts({**dict(zip(signature.parameters, args, strict=False)), **kwargs})
                if "given" in signature.parameters:
                    kwargs["given"] = {*given}
                # Ray's messages about lost workers go to standard output, which is --json's
                with redirect_stdout(sys.stderr) if kwargs.get("ray") else nullcontext():
                    answer = function(*args, **kwargs)
            except KeyboardInterrupt as interrupt:
                kept = "; what was trained so far is saved, --resume goes on" if resumable else ""
                _fail(str(interrupt) or f"interrupted{kept}", EXIT_INTERRUPTED, as_json)
            except MemoryError:
                _fail(
                    "this needs more memory than there is: use a smaller picture or file",
                    EXIT_MISTAKE,
                    as_json,
                )
            except _mistakes() as error:
                _fail(_sentence(error), EXIT_MISTAKE, as_json)
            else:
                if is_first_process():  # the others have the same answer
                    _print(json.dumps(without_nan(answer.data), allow_nan=False) if as_json else answer.text)
                if answer.incomplete:
                    raise typer.Exit(EXIT_INCOMPLETE)

        option = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
        first = inspect.Parameter("context", inspect.Parameter.POSITIONAL_ONLY, annotation=typer.Context)
        last = inspect.Parameter("as_json", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=option)
        options = [each for name, each in signature.parameters.items() if name != "given"]
        run.__signature__ = signature.replace(parameters=[first, *options, last])  # pyright: ignore
        run.__annotations__ = {**function.__annotations__, "context": typer.Context, "as_json": option}
        run.__annotations__.pop("given", None)
        app.command(name)(run)
        return function

    return register


def _check_texts(values: dict[str, Any]) -> None:
    """Refuse bytes that are no text where text is meant; names of files may hold any."""
    for name, value in values.items():
        for text in value if isinstance(value, list) else [value]:
            if isinstance(text, str) and not text.isascii():
                try:
                    text.encode()
                except UnicodeEncodeError:
                    raise ValueError(f"{name} is {messages.quote(text)}, which is no UTF-8 text") from None


def _given(context: typer.Context) -> dict[str, str]:
    """The parameters that the command line names, and how it may name them."""
    given = {}
    for parameter in context.command.params:
        source = context.get_parameter_source(parameter.name or "")
        if source is not None and source.name == "COMMANDLINE":
            given[parameter.name] = parameter.opts[0]
    return given


def misused(error: Any, as_json: bool) -> int:
    """Report what is wrong with a command line, typer's `error`; returns the exit status."""
    if sentence := error.format_message():  # none where the help was printed instead
        asked = error.ctx.command_path if error.ctx else "vision-core"
        _report(f"{sentence.rstrip('.')}; see {asked} --help", as_json)
    return error.exit_code


def with_notes(notes: Iterable[str]) -> str:
    """The lines that follow the name of a result: what reading or writing it changed."""
    return "".join(f"\n  note: {note}" for note in notes)


def watch(events: Generator[Any], label: str) -> Any:
    """Draw a training on standard error (bar, percent, loss, time left) and return its `Done.result`.

    Of several processes, the first draws.
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
                        loss = f"loss {losses['total']:.4f}" if losses else ""  # none while preparing
                        bar.update(task, completed=step, total=total, loss=loss)
                        printed = 0 if step == 1 else printed
                        if not console.is_terminal and step * 10 // total > printed:
                            printed = step * 10 // total
                            left = f", {loss}, {eta:.0f} s left" if losses else ""
                            said = f"{label}: {printed * 10} %{left}"
                            console.print(said, highlight=False, soft_wrap=True)
                    case Epoch(epoch, epochs, metrics):
                        bar.console.print(f"epoch {epoch} of {epochs}: {_scalars(metrics)}", soft_wrap=True)
                    case Done(value):
                        result = value
        finally:
            events.close()  # an interrupt leaves a good checkpoint
            if distributed.is_initialized():  # or its threads may abort the process at its end
                distributed.destroy_process_group()
    return result


def run_folder(out: Path | None) -> Path:
    """The folder of a new run; none given is a `ValueError`."""
    if out is None:
        raise ValueError("say where the run goes, --out FOLDER, or which one goes on, --resume FOLDER")
    return out


def stopped(folder: Path) -> Answer:
    """What a training answers that was asked to stop."""
    return Answer(f"{folder}: stopped; --resume {folder} goes on", {"out": str(folder), "stopped": True})


def _scalars(metrics: dict[str, Any]) -> str:
    shown = {name: value for name, value in metrics.items() if isinstance(value, int | float)}
    return ", ".join(f"{name.replace('_', ' ')} {value:.4g}" for name, value in shown.items())


def _print(text: str) -> None:
    try:
        print(messages.printable(text, kept="\n\t"), flush=True)  # names of files and classes are in it
    except OSError as error:  # a full disk, or a reader that has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nothing more can be said there
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
