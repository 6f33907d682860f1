"""The `train` command of every system, with options generated from its settings."""

import inspect
from collections.abc import Callable, Generator
from dataclasses import MISSING, Field, fields
from dataclasses import replace as replaced
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import typer
from rich.markup import escape
from typer.core import TyperCommand

from vision_core.cli.verbs import (
    Answer,
    Replace,
    Resume,
    RunFolder,
    command,
    run_folder,
    stopped,
    watch,
    with_notes,
)
from vision_core.settings import TrainingSettings

Started = tuple[Path, Generator[Any], list[str]]  # folder, events, notes


def training(
    app: typer.Typer,
    module: str,
    *,
    arguments: tuple[str, ...] = (),
    start: Callable[..., Started] | None = None,
) -> Callable[[Callable[[Path, Any], Answer]], Callable[[Path, Any], Answer]]:
    """Register `train` for the trainer in `module`, which has `Settings`, `train` and `resume`.

    The decorated function maps (folder of the run, result) to an `Answer`; its docstring is the command's
    help. The trainer is imported only when the command runs, so that other commands start without torch.

    Args:
        arguments: names of settings that are positional arguments instead of options.
        start: starts a run in place of `begin`: (trainer, out, replace, settings on the command line, ...) ->
            folder, events and notes for the user. Its further parameters become options, too.
    """

    def register(describe: Callable[[Path, Any], Answer]) -> Callable[[Path, Any], Answer]:
        @cache
        def build() -> Any:
            alone = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
            command(alone, "train")(_command(import_module(module), arguments, start or begin, describe))
            return typer.main.get_command(alone)

        class Later(TyperCommand):
            def make_context(self, info_name: Any, args: Any, parent: Any = None, **extra: Any) -> Any:
                return build().make_context(info_name, args, parent, **extra)

            def get_params(self, ctx: Any) -> Any:
                return build().get_params(ctx)

        @app.command("train", cls=Later, help=describe.__doc__)
        def placeholder() -> None: ...

        return describe

    return register


def begin(trainer: ModuleType, out: Path | None, replace: bool, given: dict[str, Any]) -> Started:
    """Start a run in `out` with the given settings, and defaults for the others."""
    folder = run_folder(out)
    return folder, trainer.train(folder, complete(trainer.Settings, given), replace=replace), []


def complete(kind: Any, given: dict[str, Any]) -> Any:
    """Build the settings; raises `ValueError` if a required one is missing."""
    for each in fields(kind):
        if each.default is MISSING and each.default_factory is MISSING and each.name not in given:
            raise ValueError(f"{each.name.replace('_', '-')} is missing: {each.metadata['help']}")
    return kind(**given)


def _command(
    trainer: ModuleType,
    arguments: tuple[str, ...],
    start: Callable[..., Started],
    describe: Callable[[Path, Any], Answer],
) -> Callable[..., Answer]:
    shared = {each.name for each in fields(TrainingSettings)}
    ordered = sorted(fields(trainer.Settings), key=lambda each: each.name in shared)
    named = {each.name: each for each in ordered if each.metadata.get("help")}
    more = [*inspect.signature(start).parameters.values()][4:]

    def train(out: Path | None, replace: bool, resume: Path | None, given: set[str], **values: Any) -> Answer:
        if resume is not None:
            folder, events, notes = resume, trainer.resume(resume), list[str]()
        else:
            changed = {name: _plain(values[name]) for name in given & named.keys()}
            others = {each.name: values[each.name] for each in more}
            folder, events, notes = start(trainer, out, replace, changed, **others)
        result = watch(events, "train")
        answer = stopped(folder) if result is None else describe(folder, result)
        return replaced(answer, text=answer.text + with_notes(notes), data={**answer.data, "notes": notes})

    hints = get_type_hints(trainer.Settings)
    options = [_parameter(each, hints[name], name in arguments) for name, each in named.items()]
    options.insert(len(arguments), _keyword("out", RunFolder, None))
    options += [_keyword(each.name, each.annotation, each.default) for each in more]
    options += [_keyword("replace", Replace, False), _keyword("resume", Resume, None)]
    options.append(_keyword("given", set[str], inspect.Parameter.empty))
    train.__doc__ = describe.__doc__
    train.__signature__ = inspect.Signature(options)  # pyright: ignore[reportFunctionMemberAccess]
    train.__annotations__ = {each.name: each.annotation for each in options}
    return train


def _parameter(each: "Field[Any]", hint: Any, argument: bool) -> inspect.Parameter:
    """The option of a setting. Its checks are left to `settings.check`, for the same message everywhere."""
    facts, default = each.metadata, None if each.default is MISSING else each.default
    metavar, bounds = None, {}
    if facts["path"]:
        hint = Path | None
    elif get_origin(hint) is Literal:
        metavar, hint = "|".join(get_args(hint)), str
    elif hint is int:
        most = facts["most"]
        bounds = {"min": facts["least"], "max": most if most is None or most < 2**62 else None}
    if default is None and type(None) not in get_args(hint):
        hint = hint | None  # required, except with --resume
    help = escape(facts["help"])  # brackets are not markup
    if argument:
        return _keyword(each.name, Annotated[hint, typer.Argument(help=help, metavar=metavar)], default)
    flag = facts["option"] or f"--{each.name.replace('_', '-')}"
    return _keyword(
        each.name, Annotated[hint, typer.Option(flag, help=help, metavar=metavar, **bounds)], default
    )


def _keyword(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, Path) else value
