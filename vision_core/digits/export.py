"""Exports a training run: packed for the site, as JSON for people, as ONNX for other runtimes.

Source: docs/digits-format.md.
"""

import hashlib
import warnings
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vision_core import checkpoints, extras, runs
from vision_core.digits import data
from vision_core.digits.measure import one_thread, predict
from vision_core.digits.network import MEAN, STD, DigitNet
from vision_core.digits.packed import DTYPES, FORMAT, VERSION, encode_images
from vision_core.digits.train import Settings, batches, history, moments, weights_file
from vision_core.files import atomic, write_json
from vision_core.runs import Run

FORMS = {"packed": ".json", "json": ".json", "onnx": ".onnx"}
ARCHITECTURE = [
    {"layer": "conv1", "kind": "convolution 3x3, ReLU", "output": [4, 26, 26]},
    {"layer": "pool1", "kind": "max-pooling 2x2", "output": [4, 13, 13]},
    {"layer": "conv2", "kind": "convolution 3x3, ReLU", "output": [8, 11, 11]},
    {"layer": "pool2", "kind": "max-pooling 2x2", "output": [8, 5, 5]},
    {"layer": "fc1", "kind": "dense, ReLU", "output": [128]},
    {"layer": "output", "kind": "dense, softmax", "output": [10]},
]
MISREAD = 24  # maximum number of test images that the last epoch misclassifies


@dataclass(frozen=True)
class _Trained:
    """A loaded run: the metrics and networks of its epochs and moments, in order, and its data."""

    settings: Settings
    epochs: list[dict[str, Any]]  # "epoch" and the metrics; with "batch", a moment of the first epoch
    models: list[DigitNet]
    digits: data.Digits


def export(
    folder: str | Path,
    out: str | Path,
    form: str = "packed",
    dtype: str = "float16",
    data_folder: str | Path | None = None,
) -> list[Path]:
    """Export the finished epochs of a run, which may still be training; returns the files written.

    Args:
        form: `packed` (index `out` and a .bin next to it), `json` (one document) or `onnx` (the last epoch).
        dtype: dtype of the packed weights, `float16` or `float32`.
        data_folder: current folder of the run's data, if they were moved.

    Raises:
        ValueError: there is no run or no finished epoch, the suffix does not match the form, or the data
            differ from the run's.
        ExtraMissing: the packages for ONNX are not installed.
    """
    out = Path(out)
    if form not in FORMS:
        raise ValueError(f"form is {form!r}; one of {', '.join(FORMS)} was expected")
    if out.suffix != FORMS[form]:
        raise ValueError(f"the {form} form is written to a file *{FORMS[form]}, not to {out.name}")
    if dtype not in DTYPES:
        raise ValueError(f"dtype is {dtype!r}; {' or '.join(DTYPES)} was expected")
    run = Run(Path(folder))
    if form == "onnx":
        epochs = history(run)
        model, _ = checkpoints.load(weights_file(run, epochs[-1].epoch), DigitNet)
        return [write_onnx({name: value.numpy() for name, value in model.state_dict().items()}, out)]
    trained, binary = _read(run, data_folder), out.with_suffix(".bin")
    with one_thread():
        if form == "json":
            write_json(out, _document(trained), indent=None)
            return [out]
        index, values = _pack(trained, dtype)
    with atomic(binary) as file:
        file.write(values)
    write_json(out, {**index, "binary": binary.name}, indent=None)
    return [out, binary]


def _read(run: Run, data_folder: str | Path | None) -> _Trained:
    run, settings = runs.open(run.folder, "digits", Settings)
    epochs = history(run)
    digits = data.load(data_folder or settings.data)
    measured = sum(map(sum, epochs[-1].metrics["confusion"]))
    if measured != len(digits.test):
        raise ValueError(
            f"the run was measured on {measured} test images, but these data have {len(digits.test)}"
        )
    records: list[dict[str, Any]] = [{"epoch": event.epoch, **event.metrics} for event in epochs]
    if len(epochs) > 1:
        of = batches(settings, len(digits.train))
        records[1:1] = [{"epoch": round(n / of, 6), "batch": n, **metrics} for n, metrics in moments(run)]
    files = [weights_file(run, record["epoch"], record.get("batch", 0)) for record in records]
    models = [checkpoints.load(file, DigitNet)[0] for file in files]
    return _Trained(settings, records, models, digits)


def _pack(trained: _Trained, dtype: str) -> tuple[dict[str, Any], bytes]:
    """The index, except for the name of the binary, and the binary."""
    models = [_rounded(model, lambda value: value.astype(DTYPES[dtype])) for model in trained.models]
    test, probe = trained.digits.test, trained.digits.test.first(1)[3]
    binary = b"".join(
        value.numpy().astype(DTYPES[dtype]).tobytes()
        for model in models
        for value in model.state_dict().values()
    )
    epochs = [
        {**record, "probe_logits": _logits(model, probe)}
        for record, model in zip(trained.epochs, models, strict=True)
    ]
    tensors, offset = [], 0
    for name, value in models[0].state_dict().items():
        tensors.append({"name": name, "shape": list(value.shape), "offset": offset})
        offset += value.numel()
    index = {
        "format": FORMAT,
        "version": VERSION,
        "bytes": len(binary),
        "sha256": hashlib.sha256(binary).hexdigest(),
        "dtype": dtype,
        "mean": MEAN,
        "std": STD,
        "tensors": tensors,
        "values_per_epoch": offset,
        "epochs": epochs,
        "probe": encode_images(probe.numpy()),
        "samples": encode_images(test.first(data.SHOWN).numpy()),
        "misread": _misread(models, test),
        "training": _training(trained),
    }
    return index, binary


def _document(trained: _Trained) -> dict[str, Any]:
    whole = [pair for pair in zip(trained.epochs, trained.models, strict=True) if "batch" not in pair[0]]
    models = [_rounded(model, _significant) for _, model in whole]
    samples, probe = trained.digits.test.first(data.SHOWN), trained.digits.test.first(1)[3]
    epochs = []
    for (record, _), model in zip(whole, models, strict=True):
        with torch.inference_mode():
            maps = {name: value[0] for name, value in model.layers(probe[None].float() / 255).items()}
        maps["output"] = maps.pop("logits").softmax(0)
        epochs.append(
            {"epoch": record["epoch"]}
            | {name: value for name, value in record.items() if isinstance(value, float)}
            | {"feature_maps": {name: _significant(value.numpy()).tolist() for name, value in maps.items()}}
            | {"weights": {name: _significant(v.numpy()).tolist() for name, v in model.state_dict().items()}}
            | {"probe_logits": _logits(model, probe)}
        )
    return {
        "format": FORMAT + "-json",
        "version": VERSION,
        "samples": {str(digit): images.tolist() for digit, images in enumerate(samples)},
        "training_epochs": epochs,
        "probe": probe[0].tolist(),
        "architecture": ARCHITECTURE,
        "model_architecture": {"model": "DigitNet", **models[0].architecture},
        "final_weights": {"epoch": trained.epochs[-1]["epoch"]},
        "training": _training(trained),
    }


def write_onnx(weights: Mapping[str, np.ndarray], out: Path) -> Path:
    """Write an ONNX model with the given weights, e.g. from `Export.weights`.

    Input `image` float32 (batch, 1, 28, 28) in [0, 1], output `logits` (batch, 10).

    Raises:
        ExtraMissing: the packages for ONNX are not installed.
    """
    extras.need("onnx", "ONNX files", "onnx", "onnxscript")  # torch.onnx imports them late
    model = DigitNet()
    model.load_state_dict({name: torch.tensor(value) for name, value in weights.items()})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of torch's exporter about torch itself
        program = torch.onnx.export(
            model.eval(),
            (torch.zeros(2, 1, 28, 28),),
            input_names=["image"],
            output_names=["logits"],
            dynamic_shapes={"x": {0: torch.export.Dim("batch")}},
            dynamo=True,
            verbose=False,
        )
    with atomic(out) as file:
        file.write(program.model_proto.SerializeToString())  # pyright: ignore[reportOptionalMemberAccess]
    return out


def _rounded(model: DigitNet, rounding: Callable[[np.ndarray], np.ndarray]) -> DigitNet:
    """A copy of the network with rounded weights, as readers of the export will see it."""
    copy = DigitNet(**model.architecture)
    rounded = {name: rounding(value.numpy()).astype(np.float32) for name, value in model.state_dict().items()}
    copy.load_state_dict({name: torch.from_numpy(value) for name, value in rounded.items()})
    return copy.eval()


def _significant(values: np.ndarray) -> np.ndarray:
    """Round to four significant digits, as float64, for the shortest decimal representation."""
    return np.array([float(f"{v:.4g}") for v in values.ravel().tolist()]).reshape(values.shape)


def _logits(model: DigitNet, image: Tensor) -> list[float]:
    return predict(model, image[None])[0].tolist()


def _misread(models: list[DigitNet], test: data.Split) -> list[dict[str, Any]]:
    wrong = (predict(models[-1], test.images).argmax(1) != test.labels).nonzero()[:MISREAD, 0]
    images, labels = test.images[wrong], test.labels[wrong].tolist()
    predicted = [predict(model, images).argmax(1).tolist() for model in models] if len(wrong) else []
    return [
        {"true": true, "predicted": list(by_epoch), "image": encode_images(image.numpy())}
        for true, by_epoch, image in zip(labels, zip(*predicted, strict=True), images, strict=True)
    ]


def _training(trained: _Trained) -> dict[str, Any]:
    digits = trained.digits
    sizes = {
        "train_images": len(digits.train),
        "val_images": len(digits.val),
        "test_images": len(digits.test),
    }
    return {**asdict(trained.settings), "data": digits.name, **sizes}
