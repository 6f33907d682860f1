"""Tests of the bundled weights against their model card."""

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from vision_core import checkpoints, digits, weights
from vision_core.digits.measure import predict

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def shipped():
    return checkpoints.load(weights.find("digits"), digits.DigitNet)


@pytest.fixture(scope="module")
def export():
    return digits.read_export(ROOT / "apps" / "digits_site" / "data" / "digits.json")


def test_reads_97_percent_of_mnists_test_file(shipped, shared_data):
    test = digits.load(shared_data / "mnist").test
    right = (predict(shipped[0], test.images).argmax(1) == test.labels).float().mean().item()
    assert right >= 0.97
    card = (ROOT / "models" / "digits" / "README.md").read_text("utf-8")
    assert f"{right:.2%}".replace("%", " %") in card  # the card says what is true


def test_sites_last_epoch_is_these_weights(shipped, export):
    model, metadata = shipped
    epochs = export.index["epochs"]
    assert [entry["epoch"] for entry in epochs if "batch" not in entry] == list(range(21))
    assert [entry["batch"] for entry in epochs[1:7]] == [1, 2, 5, 10, 20, 50]
    for name, value in model.state_dict().items():
        assert np.array_equal(export.weights(-1)[name], value.numpy().astype(np.float16))
    assert epochs[-1]["test_accuracy"] == metadata["metrics"]["test_accuracy"]
    options = {key: metadata[key] for key in ("seed", "batches", "batch_size", "lr", "augment", "cosine")}
    assert options.items() <= export.index["training"].items()


def test_site_data_are_small_and_tell_of_an_untrained_start(export):
    data = ROOT / "apps" / "digits_site" / "data"
    index, binary = (data / "digits.json").stat().st_size, (data / "digits.bin").stat().st_size
    assert index <= 250_000 and index + binary <= 1_750_000
    first, last = export.index["epochs"][0], export.index["epochs"][-1]
    assert first["test_accuracy"] < 0.3 and first["loss"] == pytest.approx(np.log(10), abs=0.1)
    assert last["val_accuracy"] > 0.96 and last["loss"] < 0.1


def test_the_same_training_can_be_asked_for_again(shipped):
    """The command in the card names the settings that the file was trained with."""
    card = (ROOT / "models" / "digits" / "README.md").read_text("utf-8")
    assert "digits train --lr 0.003 --cosine --augment" in card
    options = asdict(digits.Settings(lr=0.003, cosine=True, augment=True))
    for name in ("data", "device", "track"):  # the file tells the data's name, and not where it was trained
        del options[name]
    assert options.items() <= shipped[1].items()
