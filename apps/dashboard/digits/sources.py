"""Exports shown by the explorer (bundled, from a run or uploaded), and their tables."""

import io
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile

import numpy as np

from apps.dashboard import story
from apps.dashboard.tables import csv_bytes
from vision_core import digits, runs
from vision_core.digits.packed import decode_images
from vision_core.files import bundled, read_json
from vision_core.safety import guarded

SYSTEM = "digits"
SCALARS = ("loss", "val_loss", "train_accuracy", "val_accuracy", "test_accuracy")


@dataclass(frozen=True)
class Source:
    """A validated export, with the bytes of its two files."""

    index: bytes
    binary: bytes
    export: digits.Export

    @property
    def epochs(self) -> list[dict[str, Any]]:
        return self.export.index["epochs"]

    @property
    def names(self) -> list[str]:
        """The name of each entry: "3" for an epoch, "batch 5" for a moment of the first epoch."""
        return [f"batch {e['batch']}" if "batch" in e else str(e["epoch"]) for e in self.epochs]

    @property
    def whole(self) -> list[int]:
        """The indices of whole epochs."""
        return [index for index, record in enumerate(self.epochs) if "batch" not in record]


def shipped() -> Source:
    """The bundled training."""
    return read(bundled("apps") / "digits_site" / "data" / "digits.json")


def of_run(folder: Path) -> Source:
    """The finished epochs of a run, which may still be training."""
    with TemporaryDirectory() as scratch:
        index, _ = digits.export(folder, Path(scratch) / "digits.json")
        return read(index)


def uploaded(files: Iterable[tuple[str, bytes]]) -> Source:
    """Parse the two files (name, content) of a packed export; error messages contain no server paths."""
    parts = {Path(name).suffix.lower(): (Path(name).name, content) for name, content in files}
    if set(parts) != {".json", ".bin"}:
        names = ", ".join(name for name, _ in parts.values()) or "nothing"
        raise ValueError(f"the .json index and the .bin of one packed export were expected, not {names}")
    with TemporaryDirectory() as scratch:
        try:
            index = Path(scratch) / "index.json"
            index.write_bytes(parts[".json"][1])
            content = guarded.call(read_json, index)
            expected = content.get("binary") if isinstance(content, dict) else None
            # browsers may rename downloads; the SHA-256 in the index identifies the right file
            binary = Path(expected).name if isinstance(expected, str) else parts[".bin"][0]
            (index.with_name(binary or "digits.bin")).write_bytes(parts[".bin"][1])
            return guarded.call(read, index)
        except ValueError as error:
            text = str(error).replace(f"{scratch}/index.json", parts[".json"][0]).replace(f"{scratch}/", "")
            raise ValueError(text) from error
        except Exception as error:  # untrusted files can raise anything
            raise ValueError(f"{parts['.json'][0][:80]} is not the index of a packed export") from error


def read(path: Path) -> Source:
    """Read and validate the packed export at `path`; raises `ValueError` if anything is wrong."""
    export = digits.read_export(path)
    if not export.index["epochs"]:
        raise ValueError(f"{path} holds no epoch")
    try:
        for record in export.index["epochs"]:
            _check(record, path)
        numbers = [record["epoch"] for record in export.index["epochs"]]
        shown = all(len(m["predicted"]) == len(numbers) for m in export.index["misread"])
        images = [export.index["probe"], *(m["image"] for m in export.index["misread"])]
        whole = export.samples.size and all(len(decode_images(image)) == 1 for image in images)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"{path} has an incomplete or invalid epoch: {error}") from error
    if not (shown and whole and np.isfinite(export.values).all() and numbers == sorted(set(numbers))):
        raise ValueError(f"the epochs, the weights or the images of {path} are damaged")
    return Source(path.read_bytes(), path.with_name(Path(export.index["binary"]).name).read_bytes(), export)


def _check(record: dict[str, Any], path: Path) -> None:
    numbers = [record[name] for name in SCALARS] + list(record["per_class"])
    table = np.array(record["confusion"])
    whole = (
        isinstance(record["epoch"], float if "batch" in record else int)
        and table.shape == (10, 10)
        and table.dtype.kind == "i"
    )
    whole = whole and len(record["per_class"]) == 10
    if not whole or not all(isinstance(v, int | float) and math.isfinite(v) for v in numbers):
        raise ValueError(f"the tables of epoch {record['epoch']} are damaged")


def weight_statistics(source: Source, entry: int) -> list[dict[str, Any]]:
    """Shape, mean, standard deviation, L2 norm and L2 change since the last whole epoch of each tensor."""
    now = source.export.weights(entry)
    before = source.export.weights(max((whole for whole in source.whole if whole < entry), default=entry))
    return [
        {
            "tensor": name,
            "shape": " × ".join(map(str, value.shape)),
            "numbers": value.size,
            "mean": float(value.mean()),
            "std": float(value.std()),
            "norm": float(np.linalg.norm(value)),
            "change": float(np.linalg.norm(value - before[name])),
        }
        for name, value in now.items()
    ]


def metrics_csv(source: Source) -> bytes:
    """One row per epoch and moment of the first one: losses, accuracies, accuracy of each digit."""
    header = ["epoch", *SCALARS, *(f"accuracy_of_{digit}" for digit in range(10))]
    rows = [[r["epoch"], *(r[name] for name in SCALARS), *r["per_class"]] for r in source.epochs]
    return csv_bytes(header, rows)


def packed_zip(source: Source) -> bytes:
    """The index and the binary, under the names that make them find each other."""
    data = io.BytesIO()
    with ZipFile(data, "w", ZIP_DEFLATED) as archive:
        archive.writestr("digits.json", source.index)
        archive.writestr(Path(source.export.index["binary"]).name, source.binary)
    return data.getvalue()


def document(folder: Path) -> bytes:
    """The run in `folder` as one JSON document."""
    with TemporaryDirectory() as scratch:
        return digits.export(folder, Path(scratch) / "digits.json", "json")[0].read_bytes()


def onnx(source: Source) -> bytes:
    """The last epoch as ONNX, with the weights of the export."""
    with TemporaryDirectory() as scratch:
        weights = source.export.weights(len(source.epochs) - 1)
        return digits.write_onnx(weights, Path(scratch) / "digits.onnx").read_bytes()


def read_story(run: runs.Run) -> story.Story:
    """The state of a training; problems with its files are reported in `problem`, never raised."""
    return story.read(run, SYSTEM, digits.Settings, SCALARS)
