"""Training settings: a frozen dataclass whose fields declare their help, bounds and option name.

Validation, the JSON in a run's folder, the options of the `train` commands and the limits of the web forms
are all derived from these fields.
"""

import math
from dataclasses import MISSING, dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from vision_core.safety.messages import quote

Settings = TypeVar("Settings")
# The most of whole numbers by their kind: epochs, steps and the like; pictures of a batch; pixels of a crop's
# side; processes
COUNT, BATCH_SIZE, CROP, WORKERS = 10_000_000, 65_536, 4096, 256
BOUNDS = ("least", "most", "above", "below", "multiple")


def setting(
    default: Any = MISSING,
    help: str = "",
    *,
    least: float | None = None,
    most: float | None = None,
    above: float | None = None,
    below: float | None = None,
    multiple: int | None = None,
    option: str | None = None,
    path: bool = False,
) -> Any:
    """Declare a field of a settings dataclass.

    Args:
        help: shown by `--help`. A field without help is not exposed as an option.
        least, most: inclusive bounds. `above` and `below` are exclusive. None is unbounded.
        multiple: divisor of the value.
        option: option name, if it differs from the field's, e.g. "--cosine/--constant-lr".
        path: whether the value is a file or folder; see `absolute`.
    """
    bounds = {"least": least, "most": most, "above": above, "below": below, "multiple": multiple}
    return field(default=default, metadata={"help": help, "option": option, "path": path, **bounds})


@dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """The settings that all trainers share; those of a subclass are validated, too."""

    seed: int = setting(0, "Random seed.", least=0, most=2**63 - 1)
    device: str = setting("auto", "Device: auto, cpu, cuda or mps.")
    track: str | None = setting(None, "Experiment tracker to log to, e.g. tensorboard.")

    def __post_init__(self) -> None:
        check(self)


def check(settings: Any) -> None:
    """Validate a settings dataclass; call it from `__post_init__`.

    Raises:
        ValueError: a value is out of bounds, not finite, or not one of the choices of its `Literal`. The
            message names the setting, its value and what was expected.
    """
    hints = get_type_hints(type(settings))
    for each in fields(settings):
        value, bounds = getattr(settings, each.name), each.metadata
        choices = [c for hint in (hints[each.name], *get_args(hints[each.name])) for c in _choices(hint)]
        if choices and value is not None and value not in choices:
            raise ValueError(f"{each.name} is {quote(value)}; {' or '.join(map(str, choices))} was expected")
        if isinstance(value, int | float) and not isinstance(value, bool) and not _within(value, bounds):
            raise ValueError(f"{each.name} is {value}; a number {range_of(bounds)} was expected")


def range_of(bounds: Any) -> str:
    """Describe the bounds in a field's metadata: "of 1 or more", "from 0 to 1", "above 0 and below 1"."""
    least, most, above, below, multiple = map(bounds.get, BOUNDS)
    divisible = "" if multiple is None else f" and divisible by {multiple}"
    if least is not None and most is not None and most < 2**62:
        return f"from {least:,.10g} to {most:,.10g}{divisible}"
    parts = [
        *([f"of {least:g} or more"] if least is not None else []),
        *([f"above {above:g}"] if above is not None else []),
        *([f"of at most {most:,.10g}"] if most is not None and most < 2**62 else []),
        *([f"below {below:g}"] if below is not None else []),
    ]
    return (" and ".join(parts) or "that is finite") + divisible


def _within(value: float, bounds: Any) -> bool:
    least, most, above, below, multiple = map(bounds.get, BOUNDS)
    return (
        math.isfinite(value)
        and (least is None or value >= least)
        and (most is None or value <= most)
        and (above is None or value > above)
        and (below is None or value < below)
        and (multiple is None or value % multiple == 0)
    )


@dataclass(frozen=True)
class Described:
    """One setting for a form: whether it is a whole number, its bounds or None, its default and its help."""

    whole: bool
    least: float | None
    most: float | None
    default: Any
    help: str


def described(kind: type, name: str) -> Described:
    """The setting called `name` of a settings dataclass."""
    each = next(each for each in fields(kind) if each.name == name)
    facts, hint = each.metadata, get_type_hints(kind)[name]
    least, most, below = (facts.get(key) for key in ("least", "most", "below"))
    default = None if each.default is MISSING else each.default
    whole = hint is int or int in get_args(hint)
    return Described(whole, least, below if most is None else most, default, facts.get("help", ""))


def _choices(hint: Any) -> tuple[Any, ...]:
    return get_args(hint) if get_origin(hint) is Literal else ()


def absolute(settings: Settings) -> Settings:
    """Make the paths in `settings` absolute, so that a resume works from any folder."""
    dataclass: Any = settings
    names = [each.name for each in fields(dataclass) if each.metadata.get("path")]
    paths = {name: value for name in names if (value := getattr(settings, name)) is not None}
    return replace(dataclass, **{name: str(Path(value).absolute()) for name, value in paths.items()})


def shareable(facts: dict[str, Any]) -> dict[str, Any]:
    """Reduce absolute paths to their last part, for metadata of a file that will be published."""
    return {
        name: Path(value).name if isinstance(value, str) and Path(value).is_absolute() else value
        for name, value in facts.items()
    }


def from_plain(kind: type[Settings], data: Any) -> Settings:
    """Rebuild a dataclass from the output of `asdict`, checking each value against its annotation.

    Raises:
        ValueError: an unknown or missing field, or a value of the wrong type.
    """
    if not isinstance(data, dict):
        raise ValueError(f"expected the fields of {kind.__name__}, got {type(data).__name__}")
    by_name = {each.name: each for each in fields(kind)}  # pyright: ignore[reportArgumentType]
    if unknown := sorted(map(str, data.keys() - by_name.keys())):
        raise ValueError(f"{quote(unknown[0])} is not a setting")
    for name, each in by_name.items():
        if name not in data and each.default is MISSING and each.default_factory is MISSING:
            raise ValueError(f"{name} is missing")
    hints = get_type_hints(kind)
    return kind(**{name: _checked(name, hints[name], value) for name, value in data.items()})


def _checked(name: str, hint: Any, value: Any) -> Any:
    if is_dataclass(hint) and isinstance(hint, type):
        return from_plain(hint, value)
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        for option in arguments:
            try:
                return _checked(name, option, value)
            except ValueError:
                continue
    elif origin is Literal:
        if value in arguments:
            return value
    elif origin is tuple and isinstance(value, list | tuple):
        inner = arguments[:1] * len(value) if arguments[1:] == (...,) else arguments
        if len(inner) == len(value):
            return tuple(_checked(name, hint, item) for hint, item in zip(inner, value, strict=True))
    elif origin is dict and isinstance(value, dict):
        return {key: _checked(name, arguments[1], item) for key, item in value.items()}
    elif hint is float and type(value) in (int, float):
        return float(value)
    elif hint in (int, str, bool, NoneType) and type(value) is hint:
        return value
    expected = getattr(hint, "__name__", str(hint)) if not arguments else str(hint)
    raise ValueError(f"{name} is {quote(value)}, which is not {expected}")
