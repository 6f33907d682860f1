"""A small folder of idx files, made of the embedded digits, and a run trained on it."""

from pathlib import Path

import pytest
from idx_files import write_mnist

from vision_core import digits
from vision_core.digits.data import Split


@pytest.fixture(scope="session")
def tiny(tmp_path_factory) -> Path:
    """Idx files of 240 training images (20 validate) and 100 test images, ten of each digit."""
    embedded = digits.load()
    test = embedded.test.first(10).reshape(100, 1, 28, 28)
    labels = embedded.test.labels.sort().values.unique().repeat_interleave(10)
    train = Split(embedded.train.images[:240], embedded.train.labels[:240])
    return write_mnist(tmp_path_factory.mktemp("tiny"), train, Split(test, labels))


@pytest.fixture
def settings(tiny) -> digits.Settings:
    return digits.Settings(
        data=str(tiny), epochs=3, batches=5, batch_size=32, lr=0.01, augment=True, cosine=True
    )


@pytest.fixture(scope="session")
def trained(tiny, tmp_path_factory) -> Path:
    """A finished run of 3 epochs; tests only read it."""
    folder = tmp_path_factory.mktemp("runs") / "trained"
    for _ in digits.train(folder, digits.Settings(str(tiny), epochs=3, batches=5, batch_size=32, lr=0.01)):
        pass
    return folder
