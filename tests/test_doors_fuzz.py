"""Damaged files at every door: whatever is changed in them, they are read or refused with a `ValueError`.

Seeded and bounded for every day; `make fuzz` tries twenty times as much (FUZZ is the factor). A failure
names the door and the turn, which give the same bytes again.
"""

import gzip
import hashlib
import json
import os
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from vision_core import checkpoints, digits, images, runs
from vision_core.color import feedback, lut, lut_files, palette_files
from vision_core.color.palette import Palette
from vision_core.digits import data as idx
from vision_core.digits.packed import SHAPES, read_export
from vision_core.files import bundled

TURNS = round(60 * float(os.environ.get("FUZZ", "1")))
RNG = np.random.default_rng(0)
COLORS = RNG.integers(0, 256, (37, 53, 3), np.uint8)
PALETTE = Palette(COLORS[0, :5], np.full(5, 0.2))

Reader = Callable[[Path], object]
DOORS: dict[
    str, Callable[[Path], Reader]
] = {}  # each writes whole files into a folder and tells how to read it


def door(build: Callable[[Path], Reader]) -> Callable[[Path], Reader]:
    DOORS[build.__name__] = build
    return build


class Net(nn.Module):
    def __init__(self, width: int = 4, names: tuple[str, ...] = ()) -> None:
        super().__init__()
        self.architecture = {"width": width, "names": list(names)}
        self.layer = nn.Linear(3, width)


# Pictures


def picture(format: str, mode: str = "RGB", **options: Any) -> None:
    """Add a door for pictures of that kind."""

    def build(folder: Path) -> Reader:
        exif = Image.Exif()
        exif.update({0x0112: 6, 0x010F: "camera"})
        about = {"exif": exif, "dpi": (72, 72), "icc_profile": images.icc.srgb_profile()}
        image = Image.fromarray(COLORS).convert(mode)
        image.save(folder / "x", format, **({} if format in ("GIF", "BMP") else about), **options)
        return lambda folder: images.encode(images.read(folder / "x", max_pixels=100_000))

    DOORS[" ".join([format, mode, *map(str, options.values())])] = build


for format in ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF", "AVIF"):
    picture(format)
picture("PNG", "P", bits=4)
picture("PNG", "I;16")
picture("JPEG", "CMYK")
picture("JPEG", progressive=True)
picture("WEBP", "RGBA", lossless=True)
picture("TIFF", "1", compression="group4")
picture("TIFF", "RGBA", compression="tiff_lzw")
picture("TIFF", "RGB", compression="jpeg")
picture("TIFF", "LAB", compression="tiff_adobe_deflate")


# Palettes and LUTs


def palette(suffix: str) -> None:
    def build(folder: Path) -> Reader:
        palette_files.write(folder / f"x{suffix}", PALETTE)
        return lambda folder: palette_files.read(folder / f"x{suffix}")

    DOORS[f"palette {suffix}"] = build


for suffix in palette_files.READABLE:
    palette(suffix)


@door
def cube(folder: Path) -> Reader:
    lut_files.write(folder / "x.cube", lut.identity(3))
    return lambda folder: lut_files.read(folder / "x.cube")


@door
def hald(folder: Path) -> Reader:
    lut_files.write_hald(folder / "x.png", lut.identity(4), level=2)
    return lambda folder: lut_files.read(folder / "x.png")


@door
def ratings(folder: Path) -> Reader:
    feedback.add(folder / "x.pth", PALETTE, [feedback.Rating(1.0, True)] * 5)
    return lambda folder: feedback.read(folder / "x.pth", PALETTE)


# Checkpoints, runs, digits


def checkpoint(suffix: str) -> None:
    def build(folder: Path) -> Reader:
        checkpoints.save(folder / f"x{suffix}", Net(5, ("a", "b")), {"seed": 3, "metrics": {"accuracy": 0.5}})
        return lambda folder: checkpoints.load(folder / f"x{suffix}", Net)

    DOORS[f"checkpoint {suffix}"] = build


checkpoint(".safetensors")
checkpoint(".pth")


@door
def resume(folder: Path) -> Reader:
    model = Net().state_dict()
    moments = {n: {"step": torch.ones(()), "exp_avg": value} for n, value in enumerate(model.values())}
    optimizer = {"state": moments, "param_groups": [{"lr": 1e-3, "betas": (0.9, 0.999), "params": [0, 1]}]}
    state = {"model": model, "optimizer": optimizer, "epoch": 3, "best": {"accuracy": [0.5, 2]}}
    checkpoints.save_state(folder / "resume.pt", state)
    return lambda folder: checkpoints.load_state(folder / "resume.pt", "model", "optimizer", "epoch")


@door
def run(folder: Path) -> Reader:
    made = runs.create(folder, "digits", digits.Settings(), source="here")
    made.log({"event": "start"})
    for epoch in (1, 2):
        made.log({"event": "step", "step": epoch, "total": 2, "losses": {"total": 0.5}, "eta": 1.0})
        made.log({"event": "epoch", "epoch": epoch, "epochs": 2, "metrics": {"accuracy": 0.5}})
    made.log({"event": "resume", "epoch": 1, "step": 1})
    made.log({"event": "done"})
    (folder / "process.json").write_text('{"pid": 1, "started": 0.5}')

    def read(folder: Path) -> object:
        opened, settings = runs.open(folder, "digits", digits.Settings)
        return settings, opened.events(), opened.status(), digits.history(opened)

    return read


@door
def export(folder: Path) -> Reader:
    shipped = bundled("apps") / "digits_site" / "data"
    index = json.loads((shipped / "digits.json").read_text())
    values = sum(int(np.prod(shape)) for shape in SHAPES.values())
    part = (shipped / "digits.bin").read_bytes()[: 2 * values]
    small = {"epochs": index["epochs"][:1], "misread": [], "sha256": hashlib.sha256(part).hexdigest()}
    (folder / "digits.json").write_text(json.dumps({**index, **small, "bytes": len(part)}))
    (folder / "digits.bin").write_bytes(part)

    def read(folder: Path) -> object:
        found = read_export(folder / "digits.json")
        return found.samples, found.weights(0)

    return read


@door
def mnist(folder: Path) -> Reader:
    for name, digit in (("train", 24), ("test", 100)):
        pictures, labels = idx.FILES[name]
        sizes = digit.to_bytes(4)
        pixels = bytes([0, 0, 8, 3]) + sizes + (28).to_bytes(4) * 2 + bytes(784 * digit)
        with gzip.open(folder / f"{pictures}.gz", "wb", 1) as file:
            file.write(pixels)
        (folder / labels).write_bytes(bytes([0, 0, 8, 1]) + sizes + bytes(n % 10 for n in range(digit)))
    return idx.load


# Damage

ODD: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    0.5,
    10**400,
    float("nan"),
    1e308,
    "",
    "x",
    "9" * 5000,
    [],
    {},
    [[1]],
)


def damaged(data: bytes, rng: np.random.Generator) -> bytes:
    """Some bytes changed, moved, cut or added; JSON also gets values of other kinds in its places."""
    try:
        lines = data.decode("ascii").splitlines(keepends=True)
        if rng.random() < 0.7 and (odd := _odd_json(data, lines, rng)):
            return odd
    except ValueError:
        pass
    changed, length = bytearray(data), len(data)
    early = rng.random() < 0.6  # headers are where the parsers are
    for place in rng.integers(0, min(length, 400 if early else length), rng.integers(1, 6)).tolist():
        changed[place] = int(rng.choice([0, 1, 127, 128, 255, int(rng.integers(256))]))
    start, end = sorted(rng.integers(0, length + 1, 2).tolist())
    match rng.integers(8):
        case 0:
            del changed[start:]
        case 1:
            del changed[start:end]
        case 2:
            changed[start:start] = changed[start:end][:1000]
        case 3:
            changed[start : start + 4] = rng.bytes(4)
    return bytes(changed)


def _odd_json(data: bytes, lines: list[str], rng: np.random.Generator) -> bytes | None:
    """JSON, or one line of it, with one value replaced, or removed."""
    whole = not data.startswith(b'{"event"')
    number = int(rng.integers(len(lines)))
    content = json.loads(data if whole else lines[number])
    if not isinstance(content, dict | list) or not content:
        return None
    place = content
    while True:
        key = rng.choice(list(place)) if isinstance(place, dict) else int(rng.integers(len(place)))
        inner = place[key]
        if not isinstance(inner, dict | list) or not inner or rng.random() < 0.3:
            break
        place = inner
    if rng.random() < 0.2:
        del place[key]
    else:
        place[key] = ODD[rng.integers(len(ODD))]
    text = json.dumps(content)
    return (text if whole else "".join([*lines[:number], text + "\n", *lines[number + 1 :]])).encode()


@pytest.mark.parametrize("name", DOORS)
def test_only_sentences_come_out(name, tmp_path):
    read = DOORS[name](tmp_path)
    read(tmp_path)
    whole = {path: path.read_bytes() for path in sorted(tmp_path.rglob("*")) if path.is_file()}
    refused = 0
    for turn in range(TURNS):
        rng = np.random.default_rng([zlib.crc32(name.encode()), turn])
        path = list(whole)[rng.integers(len(whole))]
        path.write_bytes(damaged(whole[path], rng))
        try:
            read(tmp_path)
        except ValueError as error:
            refused += 1
            assert str(error) and "\n" not in str(error), f"{name}, turn {turn}: {error!r}"
        except Exception as error:
            raise AssertionError(f"{name}, turn {turn}, {path.name}: {error!r}") from error
        path.write_bytes(whole[path])
    assert refused
