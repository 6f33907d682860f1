"""Exports a finished model: one file with everything, a ZIP, or the whole network as ONNX."""

import hashlib
import json
import stat
import warnings
from io import BytesIO
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

import torch
from torch import Tensor, nn

from vision_core import checkpoints, extras, runs, weights
from vision_core.files import atomic, read_json, write_json
from vision_core.leaves import features, gate
from vision_core.leaves.data import SPLITS, Manifest
from vision_core.leaves.evaluate import fit_temperature, judged, measures
from vision_core.leaves.network import LeafNet
from vision_core.runs import Run
from vision_core.safety.limits import BUNDLE
from vision_core.safety.messages import quote

VERSION = 3  # version of the metadata and tensors in a model file
MODEL, REPORT = "model.safetensors", "report.json"
FORMATS = (".safetensors", ".pth", ".zip", ".onnx")
SCALARS = (
    "images",
    "accuracy",
    "accuracy_interval",
    "macro_f1",
    "macro_f1_interval",
    "loss",
    "ece",
    "per_class",
    "confusion",
)


def finish(
    run: Run, best: LeafNet, manifest: Manifest, cached: dict[str, Tensor], facts: dict[str, Any]
) -> dict[str, Any]:
    """Calibrate the best weights on the validation pictures and measure them, once, on the test pictures.

    Writes model.safetensors and report.json with all metrics of both splits; returns the model's metadata.
    """
    labels = {split: torch.tensor([photo.label for photo in manifest.of(split)]) for split in SPLITS}
    embedded = {"train": cached["train"]} if "train" in cached else {}
    embedded |= {"validation": cached["validation"]} if "validation" in cached else {}
    embedded |= {split: features.embed(best, manifest, split) for split in SPLITS if split not in embedded}
    model = _calibrated(best, embedded, labels)
    report = {}
    for split in SPLITS[1:]:
        files = [photo.file for photo in manifest.of(split)]
        probabilities, scores = judged(model, embedded[split])
        metrics = measures(probabilities, labels[split].numpy(), manifest.classes, files)
        report[split] = {**metrics, "refused": float((scores > 1).mean())}
    metadata = {
        **facts,
        "version": VERSION,
        "classes": list(manifest.classes),
        "preprocessing": best.preprocessing,
        "images": manifest.counts(),
        "metrics": {
            split: {name: metrics[name] for name in (*SCALARS, "refused")}
            for split, metrics in report.items()
        },
        "seen": "".join(photo.sha256 for photo in manifest.photos if photo.split != "test"),
        "licence": "Apache-2.0",
    }
    if runs.is_first_process():
        write_json(run.folder / REPORT, report, indent=None)
        checkpoints.save(run.folder / MODEL, model, metadata)
        (run.folder / features.FILE).unlink(missing_ok=True)
    return {name: value for name, value in metadata.items() if name != "seen"}


def _calibrated(best: LeafNet, embedded: dict[str, Tensor], labels: dict[str, Tensor]) -> LeafNet:
    """The model with a temperature and a gate."""
    standard = {
        split: best.standardise(part.to(best.feature_std.device)).cpu() for split, part in embedded.items()
    }
    fitted = gate.fit(standard["train"], labels["train"], standard["validation"])
    with torch.no_grad():
        logits = best(embedded["validation"].to(best.temperature.device)).cpu()
    state = best.state_dict() | {f"gate.{name}": value for name, value in fitted.state_dict().items()}
    state["temperature"] = torch.tensor(fit_temperature(logits, labels["validation"]))
    model = LeafNet(**{**best.architecture, "gate": fitted.sizes})
    model.load_state_dict(state)
    return model.to(best.temperature.device).eval()


def load(path: str | Path | None = None) -> tuple[LeafNet, dict[str, Any]]:
    """Load a model from a bundle (.safetensors, .pth or .zip); by default the one of the package.

    Raises:
        ValueError: not a finished model, damaged, of another version, or a ZIP that is not safe to open.
        WeightsMissing: the backbone, or the default model, is not there.
    """
    file = weights.find("leaves", path)
    if file.suffix.lower() == ".onnx":
        raise ValueError(f"{file} cannot be loaded here: use the .safetensors, .pth or .zip")
    if file.suffix.lower() == ".zip":
        with TemporaryDirectory() as folder:
            inside = Path(folder) / MODEL
            inside.write_bytes(_from_zip(file))
            try:
                model, metadata = checkpoints.load(inside, LeafNet)
            except ValueError as error:
                raise ValueError(str(error).replace(str(inside), f"{file}: {MODEL}")) from error
    else:
        model, metadata = checkpoints.load(file, LeafNet)
    version = metadata.get("version")
    if model.gate is None or version is None:
        raise ValueError(f"{file} is not a finished model: use the model.safetensors of a run, or its bundle")
    if version != VERSION:
        raise ValueError(f"{file} is of version {version!r}; this release reads version {VERSION}")
    if not isinstance(metadata.get("seen", ""), str):
        raise ValueError(f"{file} does not list the pictures it was trained on: its `seen` is not a string")
    return model, metadata


def _from_zip(path: Path) -> bytes:
    """The model in a ZIP; nothing is written to disk, and the size is limited."""
    try:
        with ZipFile(path) as archive:
            entries = archive.infolist()
            for entry in entries:
                _check_entry(entry)
            [model] = [entry for entry in entries if entry.filename == MODEL]
            with archive.open(model) as file:
                data = file.read(BUNDLE.value + 1)
    except Exception as error:  # untrusted archive: the parser can raise anything
        detail = str(error) if isinstance(error, _Unsafe) else "it holds no complete model.safetensors"
        raise ValueError(f"{path} is not a bundle that can be opened: {detail}") from error
    BUNDLE.check(len(data), f"{path} is not a bundle that can be opened: {MODEL}")
    return data


class _Unsafe(ValueError):
    """An archive with names or sizes that `bundle` never writes."""


def _check_entry(entry: ZipInfo) -> None:
    name = PurePosixPath(entry.filename.replace("\\", "/"))
    if name.is_absolute() or ".." in name.parts or stat.S_ISLNK(entry.external_attr >> 16):
        raise _Unsafe(f"the name {quote(entry.filename)} leads out of it")
    try:
        BUNDLE.check(entry.file_size, entry.filename)
    except ValueError as error:
        raise _Unsafe(str(error)) from error


def bundle(folder: str | Path, out: str | Path, half: bool = False) -> Path:
    """Write the finished model of a run in the format of the suffix: .safetensors, .pth, .zip or .onnx.

    Args:
        half: store in half precision, at half the size (not a ZIP).

    Raises:
        ValueError: no run, one that is not finished, another suffix.
        ExtraMissing: ONNX's packages are not installed.
    """
    run, out = Run(Path(folder)), Path(out)
    if out.suffix.lower() not in FORMATS:
        raise ValueError(f"{out.name} has no known format: use one of {', '.join(FORMATS)}")
    if run.config["system"] != "leaves":
        raise ValueError(f"{folder} is a run of {run.config['system']!r}, not of 'leaves'")
    if not (run.folder / MODEL).exists():
        raise ValueError(
            f"{folder} has no finished model: its status is {run.status()!r}; --resume goes on with it"
        )
    model, metadata = load(run.folder / MODEL)
    match out.suffix.lower():
        case ".zip":
            _write_zip(run, model, metadata, out)
        case ".onnx":
            write_onnx(model, metadata, out, half)
        case _:
            checkpoints.save(out, model, metadata, half)
    return out


def _write_zip(run: Run, model: LeafNet, metadata: dict[str, Any], out: Path) -> None:
    manifest = read_json(run.folder / "manifest.json")
    files = {
        MODEL: (run.folder / MODEL).read_bytes(),
        "README.md": model_card(metadata).encode(),
        REPORT: (run.folder / REPORT).read_bytes(),
        "manifest.json": json.dumps({**manifest, "folder": Path(manifest["folder"]).name}).encode(),
    }
    with TemporaryDirectory() as folder:
        checkpoints.save(Path(folder) / "model.pth", model, metadata)
        files["model.pth"] = (Path(folder) / "model.pth").read_bytes()
    sums = "".join(f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in sorted(files.items()))
    buffer = BytesIO()
    with ZipFile(buffer, "w", ZIP_DEFLATED) as archive:
        for name, data in sorted({**files, "SHA256SUMS": sums.encode()}.items()):
            archive.writestr(ZipInfo(name), data, ZIP_DEFLATED)  # a fixed time: equal content, equal bytes
    with atomic(out) as file:
        file.write(buffer.getvalue())


def model_card(metadata: dict[str, Any]) -> str:
    """The model card, in Markdown."""
    test, settings = metadata["metrics"]["test"], metadata["settings"]
    rows = [
        f"| {name} | {row['precision']:.3f} | {row['recall']:.3f} | {row['f1']:.3f} | {row['support']} |"
        for name, row in test["per_class"].items()
    ]
    low, high = test["accuracy_interval"]
    return "\n".join(
        [
            "---\nlicense: apache-2.0\nlibrary_name: vision-core",
            "pipeline_tag: image-classification\n---\n",
            "# Leaf classifier\n",
            f"MobileNetV2 ({settings['weights']}), {len(metadata['classes'])} classes, "
            f"epoch {metadata['epoch']}.",
            f"Accuracy on {test['images']} test pictures {test['accuracy']:.4f} "
            f"(95 %: {low:.3f} to {high:.3f}), "
            f"macro-F1 {test['macro_f1']:.4f}, expected calibration error {test['ece']:.4f}.",
            f"It rejects unknown pictures; of the test pictures it rejects {test['refused']:.1%}.\n",
            "| class | precision | recall | F1 | pictures |\n|---|---|---|---|---|",
            *rows,
            "\nSettings: " + ", ".join(f"{name} {value}" for name, value in settings.items()) + ".\n",
            "Use it: `vision-core leaves predict IMAGE --model FILE`.\n",
        ]
    )


class _Whole(nn.Module):
    """The network as exported: pictures -> probabilities and out-of-distribution scores."""

    def __init__(self, model: LeafNet) -> None:
        super().__init__()
        self.model = model

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        return self.model.judge(image)


def write_onnx(model: LeafNet, metadata: dict[str, Any], out: Path, half: bool = False) -> None:
    """Write the whole network; if onnxruntime is installed, its output is compared with PyTorch's.

    Input `image` float32 (batch, 3, crop, crop) in [0, 1]; outputs `probabilities` (batch, classes) and
    `ood_score` (batch,), known up to 1. The class names and the preprocessing are in its metadata.

    Args:
        half: store the weights in half precision; the computation stays in single.

    Raises:
        ExtraMissing: ONNX's packages are not installed.
        RuntimeError: the two answers differ.
    """
    extras.need("onnx", "ONNX files", "onnx", "onnxscript")  # torch.onnx asks for them only deep inside
    whole, image = _Whole(model).eval(), torch.rand(2, 3, model.crop, model.crop)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of torch's exporter about torch itself
        program = torch.onnx.export(
            whole,
            (image,),
            input_names=["image"],
            output_names=["probabilities", "ood_score"],
            dynamic_shapes={"image": {0: torch.export.Dim("batch")}},
            dynamo=True,
            verbose=False,
        )
    proto: Any = program.model_proto  # pyright: ignore[reportOptionalMemberAccess]
    properties = {
        "classes": model.classes,
        "preprocessing": metadata.get("preprocessing"),
        "version": VERSION,
    }
    for node in proto.graph.node:  # the exporter's notes on each node are a megabyte
        node.ClearField("metadata_props")
        node.ClearField("doc_string")
    proto.metadata_props.add(key="vision-core", value=json.dumps(properties))
    if half:
        _halve(proto.graph)
    data = proto.SerializeToString()
    _compare(whole, data, image, 2e-2 if half else 1e-3)
    with atomic(out) as file:
        file.write(data)


def _halve(graph: Any) -> None:
    """Store the large float32 weights as float16, each with a Cast in front of its use."""
    from onnx import TensorProto, helper, numpy_helper

    casts = []
    for weight in graph.initializer:
        values = numpy_helper.to_array(weight)
        if weight.data_type == TensorProto.FLOAT and values.size > 256:
            name = weight.name
            small = values.clip(-65504, 65504).astype("float16")
            weight.CopyFrom(numpy_helper.from_array(small, f"{name}.half"))
            casts.append(helper.make_node("Cast", [f"{name}.half"], [name], to=TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)


def _compare(whole: nn.Module, data: bytes, image: Tensor, tolerance: float) -> None:
    try:
        import onnxruntime
    except ImportError:
        return
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    answers = session.run(None, {"image": image.numpy()})
    with torch.no_grad():
        expected = whole(image)
    for ours, theirs in zip(expected, answers, strict=True):
        if not torch.allclose(ours, torch.from_numpy(theirs), rtol=tolerance, atol=tolerance / 10):
            raise RuntimeError("the exported network answers differently in onnxruntime than in PyTorch")
