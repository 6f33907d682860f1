import base64
import hashlib
import json
import shutil
import sys

import numpy as np
import pytest
import torch
from idx_files import write_mnist

from vision_core import checkpoints, digits
from vision_core.digits import DigitNet
from vision_core.digits.measure import measure
from vision_core.digits.packed import decode_images
from vision_core.digits.train import weights_file
from vision_core.runs import Run


@pytest.fixture(scope="module")
def packed(trained, tmp_path_factory):
    """The index of the packed form of the small run."""
    return digits.export(trained, tmp_path_factory.mktemp("packed") / "digits.json")[0]


@pytest.fixture
def copy(packed, tmp_path):
    """An export that a test may damage."""
    shutil.copyfile(packed.with_suffix(".bin"), tmp_path / "digits.bin")
    return shutil.copyfile(packed, tmp_path / "digits.json")


def change(path, **keys):
    path.write_text(json.dumps({**json.loads(path.read_text()), **keys}))


def convolve(x, weight, bias):
    """ReLU of a 3x3 convolution: (C, H, W), (K, C, 3, 3), (K,) -> (K, H - 2, W - 2), float64."""
    _, height, width = x.shape
    patches = [x[:, i : i + height - 2, j : j + width - 2] for i in range(3) for j in range(3)]
    stacked = np.stack(patches, axis=1).reshape(-1, height - 2, width - 2)  # channel, then the nine places
    return np.maximum(
        np.einsum("kp,phw->khw", weight.reshape(len(weight), -1), stacked) + bias[:, None, None], 0
    )


def pool(x):
    rows, columns = x.shape[1] // 2 * 2, x.shape[2] // 2 * 2
    x = x[:, :rows, :columns]
    return np.max([x[:, i::2, j::2] for i in range(2) for j in range(2)], axis=0)


def forward(w, image, mean, std):
    x = (image[None] / 255 - mean) / std
    x = pool(convolve(x, w["conv1.weight"], w["conv1.bias"]))
    x = pool(convolve(x, w["conv2.weight"], w["conv2.bias"]))
    x = np.maximum(w["fc1.weight"] @ x.ravel() + w["fc1.bias"], 0)
    return w["fc2.weight"] @ x + w["fc2.bias"]


def test_probe_answers_follow_from_the_binary_alone(packed):
    """Reads the two files by the format's page, with nothing of our code, and computes in numpy."""
    index, binary = json.loads(packed.read_text()), packed.with_suffix(".bin").read_bytes()
    assert (index["format"], index["version"], index["values_per_epoch"]) == ("vision-core-digits", 2, 27_354)
    assert (index["binary"], index["bytes"]) == (packed.with_suffix(".bin").name, len(binary))
    assert index["sha256"] == hashlib.sha256(binary).hexdigest()
    values = np.frombuffer(binary, "<f2").astype(float).reshape(-1, 27_354)
    probe = np.frombuffer(base64.b64decode(index["probe"]), np.uint8).reshape(28, 28)
    assert len(values) == len(index["epochs"]) == 6
    for row, entry in zip(values, index["epochs"], strict=True):
        weights = {
            t["name"]: row[t["offset"] : t["offset"] + np.prod(t["shape"])].reshape(t["shape"])
            for t in index["tensors"]
        }
        logits = forward(weights, probe, index["mean"], index["std"])
        assert np.abs(logits - entry["probe_logits"]).max() < 1e-4


def test_index_tells_what_was_measured(packed, trained, tiny):
    index, data = digits.read_export(packed).index, digits.load(tiny)
    whole = [entry for entry in index["epochs"] if "batch" not in entry]
    for entry, event in zip(whole, digits.history(Run(trained)), strict=True):
        assert entry["epoch"] == event.epoch
        assert {name: entry[name] for name in event.metrics} == event.metrics
    moments = index["epochs"][1:3]
    assert [(entry["epoch"], entry["batch"]) for entry in moments] == [(0.2, 1), (0.4, 2)]
    for entry in moments:
        model, _ = checkpoints.load(weights_file(Run(trained), 1, entry["batch"]), digits.DigitNet)
        measured = measure(model, data)
        assert {name: entry[name] for name in measured} == measured
    losses = [entry["loss"] for entry in index["epochs"][:4]]
    assert losses == sorted(losses, reverse=True) and len(set(losses)) == 4
    assert index["training"]["seed"] == 0
    assert index["training"]["train_images"] + index["training"]["val_images"] == 240
    assert packed.stat().st_size < 200_000
    samples = digits.read_export(packed).samples
    for digit in range(10):
        assert np.array_equal(samples[digit], data.test.images[data.test.labels == digit][:10, 0])


def test_misread_images_are_misread_by_the_weights_in_the_file(packed):
    export = digits.read_export(packed)
    assert 0 < len(export.index["misread"]) <= 24
    for case in export.index["misread"]:
        image = decode_images(case["image"])[0]
        predictions = [
            forward(export.weights(n), image, export.index["mean"], export.index["std"]).argmax()
            for n in range(6)
        ]
        assert predictions == case["predicted"]
        assert predictions[-1] != case["true"]


def test_float32_weights_are_exact_and_float16_ones_near(packed, trained, tmp_path):
    exact = digits.read_export(digits.export(trained, tmp_path / "exact.json", dtype="float32")[0])
    near = digits.read_export(packed)
    for epoch, n in enumerate((0, 3, 4, 5)):
        state = checkpoints.load(weights_file(Run(trained), epoch), DigitNet)[0].state_dict()
        for name, value in state.items():
            assert np.array_equal(exact.weights(n)[name], value)
            assert np.abs(near.weights(n)[name] - value.numpy()).max() < 1e-3


def test_document_is_plain_numbers_that_answer_as_they_say(trained, tmp_path):
    [path] = digits.export(trained, tmp_path / "run.json", "json")
    document = json.loads(path.read_text())
    assert (document["format"], document["version"]) == ("vision-core-digits-json", 2)
    epochs = len(json.dumps(document["training_epochs"], separators=(",", ":")))
    assert path.stat().st_size - epochs + epochs / 4 * 21 < 6e6  # what the default run's 21 epochs would take
    assert [entry["epoch"] for entry in document["training_epochs"]] == [0, 1, 2, 3]
    assert document["final_weights"] == {"epoch": 3}
    assert document["probe"] == document["samples"]["3"][0]
    probe = np.array(document["probe"])
    for entry in document["training_epochs"]:
        weights = {name: np.array(value) for name, value in entry["weights"].items()}
        logits = forward(weights, probe, 0.1307, 0.3081)
        assert np.abs(logits - entry["probe_logits"]).max() < 1e-4
        output = np.exp(logits) / np.exp(logits).sum()
        assert entry["feature_maps"]["output"] == pytest.approx(output, rel=1e-3)
        conv1 = convolve(
            (probe[None] / 255 - 0.1307) / 0.3081, weights["conv1.weight"], weights["conv1.bias"]
        )
        assert np.array(entry["feature_maps"]["conv1"]) == pytest.approx(conv1, rel=1e-3, abs=1e-6)
        shapes = {name: list(np.shape(value)) for name, value in entry["feature_maps"].items()}
        assert shapes == {layer["layer"]: layer["output"] for layer in document["architecture"]}


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
def test_onnx_answers_as_the_network_for_any_number_of_images(trained, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    [path] = digits.export(trained, tmp_path / "digits.onnx", "onnx")
    session = onnxruntime.InferenceSession(path)
    model, _ = checkpoints.load(trained / "final_model_weights.pth", DigitNet)
    for count in (1, 5):
        x = torch.rand(count, 1, 28, 28)
        [logits] = session.run(["logits"], {"image": x.numpy()})
        assert np.abs(logits - model(x).detach().numpy()).max() < 1e-4


def test_missing_onnx_packages_are_named_with_the_remedy(trained, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(ImportError, match=r"pip install 'vision-core\[onnx\]'"):
        digits.export(trained, tmp_path / "digits.onnx", "onnx")


def test_a_run_that_is_being_written_exports_what_is_done(trained, tmp_path):
    run = shutil.copytree(trained, tmp_path / "run")
    lines = (run / "metrics.jsonl").read_text().splitlines(keepends=True)
    [second] = [n for n, line in enumerate(lines) if '"epoch": 2' in line and '"event": "epoch"' in line]
    (run / "metrics.jsonl").write_text("".join(lines[: second + 3]) + lines[second + 3][:20])
    (run / "epoch_weights" / "epoch_3_weights.pth").unlink()
    export = digits.read_export(digits.export(run, tmp_path / "digits.json")[0])
    assert [entry["epoch"] for entry in export.index["epochs"]] == [0, 0.2, 0.4, 1, 2]
    (run / "metrics.jsonl").write_text("")
    with pytest.raises(ValueError, match="has no finished epoch yet"):
        digits.export(run, tmp_path / "digits.json")


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ({"out": "x.bin"}, r"the packed form is written to a file \*.json, not to x.bin"),
        ({"out": "x.json", "form": "onnx"}, r"the onnx form is written to a file \*.onnx"),
        ({"out": "x.json", "form": "csv"}, "form is 'csv'; one of packed, json, onnx"),
        ({"out": "x.json", "dtype": "int8"}, "dtype is 'int8'"),
    ],
)
def test_impossible_exports_are_refused(trained, asked, sentence):
    with pytest.raises(ValueError, match=sentence):
        digits.export(trained, **asked)


def test_other_data_than_the_runs_are_refused(trained, tmp_path):
    embedded = digits.load()
    other = write_mnist(tmp_path / "other", embedded.val, embedded.test)
    with pytest.raises(ValueError, match="measured on 100 test images, but these data have 1000"):
        digits.export(trained, tmp_path / "x.json", data_folder=other)


def test_moved_data_are_found_when_named(packed, trained, tiny, tmp_path):
    run = shutil.copytree(trained, tmp_path / "run")
    settings = json.loads((run / "config.json").read_text())["settings"]
    change(run / "config.json", settings={**settings, "data": str(tmp_path / "gone")})
    with pytest.raises(ValueError, match="gone holds no train-images-idx3-ubyte"):
        digits.export(run, tmp_path / "digits.json")
    again = digits.export(run, tmp_path / packed.name, data_folder=tiny)[0]
    assert again.read_bytes() == packed.read_bytes()


def cut(path):
    path.write_text(path.read_text()[:5000])


def other_binary(path):
    binary = path.with_suffix(".bin")
    binary.write_bytes(binary.read_bytes()[:-1] + b"\0")


def moved(path):
    tensors = json.loads(path.read_text())["tensors"]
    return [tensors[0] | {"offset": 5}, *tensors[1:]]


def cut_binary(path):
    binary = path.with_suffix(".bin")
    data = binary.read_bytes()[:-100]
    binary.write_bytes(data)
    change(path, sha256=hashlib.sha256(data).hexdigest())


@pytest.mark.parametrize(
    ("harm", "sentence"),
    [
        (lambda path: change(path, version=1), "has version 1, only version 2 can be read"),
        (lambda path: change(path, format="vision-core-digits-json"), "not a packed digit export"),
        (lambda path: path.write_text("[]"), "not a packed digit export: its format is 'list'"),
        (lambda path: change(path, tensors=[{"name": "conv1.weight"}]), "has a missing or invalid key"),
        (
            lambda path: change(path, tensors=[{"name": "fc", "shape": [27354], "offset": 0}]),
            "another network",
        ),
        (lambda path: change(path, tensors=moved(path)), "another network"),
        (lambda path: change(path, samples="AAAA"), "has a missing or invalid key"),
        (lambda path: change(path, binary=""), "has a missing or invalid key"),
        (lambda path: change(path, binary="9" * 5000), "File name too long"),
        (lambda path: change(path, dtype="int64"), "has a missing or invalid key"),
        (cut, "is not valid JSON"),
        (other_binary, "its SHA-256 differs"),
        (cut_binary, "which are not 6 epochs of 27354 values"),
        (lambda path: path.with_suffix(".bin").unlink(), "needs .* in the same folder"),
        (lambda path: path.unlink(), "there is no file"),
    ],
)
def test_damaged_exports_are_refused_in_one_sentence(copy, harm, sentence):
    harm(copy)
    with pytest.raises(ValueError, match=sentence) as caught:
        digits.read_export(copy)
    assert "\n" not in str(caught.value)
