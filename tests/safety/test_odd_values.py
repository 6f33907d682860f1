"""Every option and argument of the command line with odd values: a sentence and status 2, never a traceback.

`python tests/safety/test_odd_values.py [FIRST LAST] [WORD ...]` tries every value at every place, or those of
a part, or of commands with these words; `pytest` a few.
"""

import json
import os
import resource
import select
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import fields
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple, get_type_hints

import numpy as np
import pytest
import torch
import typer

from vision_core import color, torchvision_cpu
from vision_core.cli import app as program
from vision_core.cli import verbs
from vision_core.color.palette import Palette
from vision_core.events import Done
from vision_core.files import write_json
from vision_core.pictures import images
from vision_core.pictures.images import Picture

DAILY = 12  # calls that `pytest` tries
SECONDS, BYTES = 20, 2500 << 20  # of the processor and of memory, beside what the libraries need
VALUES = (
    *("nan", "inf", "-inf", "-1", "0", "1e308", "-1e308", "1e-320", "1000000000000", "9" * 5000, "0x10", "१"),
    *(
        "",
        " ",
        "x" * 5000,
        "\x1b[31mred\x07",
        "a\nb\rc",
        "\u202egpj.exe",
        "\udcff",
        "💥",
        "[bold]x[/bold]",
        "%s{}",
    ),
    *("missing.png", "missing/x.png", "folder", "pipe", "/dev/null", "/dev/zero", "/proc/self/mem"),
    *("loop", "empty.png", "page.png", "page.png/x.png", "~", "s3://bucket/x", "file:///nowhere"),
)
# A command that works, with small files; what each takes is found in `prepared`
WORDS = (
    "space color --out new",
    "color palette page.png",
    "color train page.png page.png --out new --epochs 1",
    "color apply page.png --model color.safetensors --out new.png",
    "color lowpoly page.png --out new.png",
    "color lut --model color.safetensors --out new.cube --size 3",
    "color compare page.png page.png --out new.png --epochs 1",
    "color feedback --model color.safetensors --source page.png --rate #102030=1 --epochs 1 --save new.pth",
    "edit run page.png --prompt x --out new.png --steps 1 --anchors 1",
    "edit task remove page.png --out new.png --mask mask.png",
    "edit mask page.png --out new.png --box 1,1,9,9",
    "edit regions page.png --out new.png",
    "edit scene --out new.png",
    "edit train --data data.json --out new --backend blur --anchors 1 --max-window 4",
    "edit batch jobs.csv --out new",
    "edit again recipe.json --image page.png --out new.png",
    "edit fetch stabilityai/x --check",
    "edit tiny train clip --out new --epochs 1 --steps 1 --batch-size 2 --scenes 8",
    "edit tiny draw clip --cache new --scenes 1",
    "edit tiny export folder --out new",
    "edit tiny evaluate folder",
    "edit filler train --train-dir folder --out new --epochs 1 --steps 1 --crop 32",
    "edit filler export folder --out new",
    "digits train --data folder --out new",
    "digits export folder --out new.json",
    "digits site --out new",
    "digits predict page.png",
    "leaves distribution leaves",
    "leaves split leaves --out new",
    "leaves augment page.png --out new",
    "leaves transform page.png --out new",
    "leaves generate --out new --images 2 --size 32",
    "leaves train folder --out new",
    "leaves evaluate folder",
    "leaves predict page.png",
    "leaves explain page.png --out new.png",
    "leaves bundle folder --out new.zip",
    "restore run page.png --out new.png --method classical",
    "restore damage page.png --out new.png",
    "restore evaluate folder --crops 1",
    "restore flow page.png --out new.png",
    "restore pages --out new --number 1",
    "restore train --train-dir folder --out new --epochs 1 --crops 1 --crop 32",
    "restore join folder folder --out new.safetensors",
    "restore fit-gate folder --out new.json --crops 20",
)
TRAINERS = (
    *("digits.train", "leaves.train", "restoration.train", "smallworld.train"),
    *("editing.train", "editing.fill.filler_train", "editing.find.scratches_train"),
)
SETTINGS = [color.Settings, *(import_module(f"vision_core.{name}").Settings for name in TRAINERS)]
# They answer for ever, or start other programs, when a value is right
LEFT_OUT = {("serve",), ("models",), ("doctor",)}
SLOW = {"--ray", "--workers", "--track", "--download", "--help"}


class Call(NamedTuple):
    """The words of a command, and which one of them is odd."""

    words: tuple[str, ...]
    odd: str


@cache
def command() -> Any:
    """The program as `vision-core` builds it."""
    return typer.main.get_command(program)


def commands(group: Any = None, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], list[Any]]]:
    """(words, parameters) of every command."""
    group = group or command()
    if not hasattr(group, "commands"):
        yield path, group.get_params(typer.Context(group))
        return
    for name, inner in group.commands.items():
        yield from commands(inner, (*path, name))


def calls() -> Iterator[Call]:
    """Each place of each command with each value."""
    by_words = {tuple(words): words for words in map(str.split, WORDS)}
    for path, parameters in commands():
        matching = [words for key, words in by_words.items() if key[: len(path)] == path]
        if path in LEFT_OUT:
            continue
        words = matching[0] if matching else _guessed(path, parameters)
        for parameter in parameters:
            option = parameter.opts[0]
            if option in SLOW or getattr(parameter, "is_flag", False):
                continue
            for value in VALUES:
                if not option.startswith("-"):
                    place = 1 + [each.name for each in parameters if not each.opts[0].startswith("-")].index(
                        parameter.name
                    )
                    at = len(path) + place - 1
                    yield Call((*words[:at], value, *words[at + 1 :]), f"{option} {value!r}")
                elif option in words:
                    at = words.index(option)
                    yield Call((*words[: at + 1], value, *words[at + 2 :]), f"{option} {value!r}")
                else:
                    yield Call((*words, f"{option}={value}"), f"{option} {value!r}")


def _guessed(path: tuple[str, ...], parameters: list[Any]) -> list[str]:
    """Words for a command that is not in WORDS: an empty folder for each argument."""
    arguments = ["folder" for each in parameters if not each.opts[0].startswith("-")]
    out = ["--out", "new"] if any("--out" in each.opts for each in parameters) else []
    return [*path, *arguments, *out]


def prepared(folder: Path) -> None:
    """Write the files that the commands name, and make this process ready for forks."""
    torch.set_num_threads(1)  # the threads of a pool are not there after a fork
    with suppress(typer.exceptions.TyperException):  # pyright: ignore[reportAttributeAccessIssue]
        command()(["color", "lut"], standalone_mode=False)
    rng = np.random.default_rng(0)
    page = rng.integers(0, 256, (40, 48, 3), np.uint8)
    images.save(Picture(page), folder / "page.png")
    mask = np.zeros((40, 48, 3), np.uint8)
    mask[8:20, 8:20] = 255
    images.save(Picture(mask), folder / "mask.png")
    (folder / "folder").mkdir()
    (folder / "empty.png").touch()
    os.mkfifo(folder / "pipe")
    (folder / "loop").symlink_to("loop")
    for label in "ab":
        for number in range(4):
            leaf = rng.integers(0, 256, (24, 24, 3), np.uint8)
            images.save(Picture(leaf), folder / "leaves" / label / f"{number}.png")
    write_json(folder / "data.json", {"page.png": ["a cat", "a dog"]})
    (folder / "jobs.csv").write_text("image,prompt\npage.png,a dog\n")
    (folder / "recipe.json").write_text("{}")
    palette = Palette(np.array([[16, 32, 48], [200, 90, 10]], np.uint8), np.array([0.5, 0.5]))
    *_, result = color.train(color.count_colors(page), palette, color.Settings(epochs=1))
    assert isinstance(result, Done)
    color.save(result.result, folder / "color.safetensors")


def attempt(words: tuple[str, ...], folder: Path) -> tuple[int | str, str]:
    """(status, or what went wrong; what was written) of a command in a child of this process."""
    reading, writing = os.pipe()
    if not (child := os.fork()):
        _become(words, folder, writing)
    os.close(writing)
    written, end = b"", time.monotonic() + 10 * SECONDS  # of a busy machine
    while time.monotonic() < end:
        if select.select([reading], [], [], 1)[0]:
            part = os.read(reading, 1 << 16)
            written += part[: max(0, 100_000 - len(written))]
            if not part:
                break
    else:
        os.kill(child, signal.SIGKILL)
    os.close(reading)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    text = written.decode("utf-8", "replace")
    if "Traceback" in text:
        return "a traceback", text
    return (f"signal {-status}" if status < 0 else status), text


def _become(words: tuple[str, ...], folder: Path, writing: int) -> None:
    """Run the command and end this process."""
    status = 99
    try:
        nothing = os.open(os.devnull, os.O_RDONLY)
        for number, target in ((0, nothing), (1, writing), (2, writing)):
            os.dup2(target, number)
        os.chdir(folder)
        os.setsid()
        resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS + 2))
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + BYTES, used + BYTES))
        sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", closefd=False)
        sys.argv = ["vision-core", *words]
        try:
            status = command()([*words], prog_name="vision-core", standalone_mode=False) or 0
        except typer.exceptions.TyperException as error:  # pyright: ignore[reportAttributeAccessIssue]
            status = verbs.report_usage_error(error, as_json=False)
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else 1
    except BaseException:
        with suppress(BaseException):
            traceback.print_exc()
    finally:
        with suppress(BaseException):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(int(status))


def complaint(call: Call, folder: Path) -> str:
    """The fault of a command; "" if it succeeded or failed with a message."""
    before = {*folder.iterdir()}
    status, text = attempt(call.words, folder)
    for made in {*folder.iterdir()} - before:  # else the next command finds it
        shutil.rmtree(made) if made.is_dir() else made.unlink()
    lines = [line for line in text.splitlines() if line.startswith("vision-core: ")]
    if status not in (0, 1, 2):
        return f"{status}: {text[-1500:]}"
    if status == 2 and (len(lines) != 1 or len(text) > 600):
        return f"said {text[:1500]!r}"
    if text and not text.replace("\n", "").replace("\t", "").isprintable():
        return f"control characters in {text[:300]!r}"
    return ""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("odd")
    prepared(folder)
    return folder


def test_odd_values_are_sentences(folder):
    assert not {
        call.odd: complaints for call in shuffled()[:DAILY] if (complaints := complaint(call, folder))
    }


def test_names_in_the_lines_of_pages_are_printed_without_control_characters(folder):
    words = ("restore", "run", "a\rb\x1b[31m", "--out", "new.png", "--method", "classical")
    assert not complaint(Call(words, "SOURCES"), folder)


def test_every_whole_number_has_bounds():
    """Without them, a few digits ask for years, or for more memory than there is."""
    options = [(path, each) for path, parameters in commands() for each in parameters]
    whole = [(path, each) for path, each in options if "int" in str(each.type_descriptor.annotation)]
    assert len(whole) > 60
    for path, each in whole:
        about = each.type_descriptor.parameter_info
        if path[-1] != "train":  # whose options are those of its settings
            assert about.min is not None and about.max is not None, (path, each.opts)


@pytest.mark.parametrize("kind", SETTINGS)
def test_every_whole_setting_has_bounds(kind):
    hints = get_type_hints(kind)
    whole = [each for each in fields(kind) if hints[each.name] in (int, int | None)]
    assert not [each.name for each in whole if {each.metadata["least"], each.metadata["most"]} & {None}]


def shuffled() -> list[Call]:
    """All calls, so that the first ones are of every kind."""
    shuffled_calls = [*calls()]
    return [shuffled_calls[place] for place in np.random.default_rng(0).permutation(len(shuffled_calls))]


def main() -> None:
    words = sys.argv[1:]
    first, last = (int(words.pop(0)) for _ in range(2)) if words and words[0].isdigit() else (0, 10**9)
    with suppress(ImportError):  # loaded here once, not in every child
        torchvision_cpu.prepare()
        import_module("open_clip")
    chosen = [call for call in shuffled()[first:last] if all(word in call.words for word in words)]
    with tempfile.TemporaryDirectory() as name:
        prepared(Path(name))
        wrong = 0
        for call in chosen:
            if message := complaint(call, Path(name)):
                wrong += 1
                print(json.dumps([" ".join(call.words)[:200], call.odd[:80], message[-700:]]), flush=True)
    print(f"{len(chosen):,} calls, {wrong} wrong")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
