"""A small folder of drawn leaves and a run trained on it, shared by all tests of the leaf system."""

from pathlib import Path

import pytest

from vision_core import leaves

SIZE = 64


@pytest.fixture(scope="session")
def leaf_folder(tmp_path_factory) -> Path:
    """An ImageFolder of 60 leaves, 15 a class, 64 pixels; tests only read it."""
    folder = tmp_path_factory.mktemp("leaves") / "drawn"
    for _ in leaves.generate(folder, 60, seed=3, size=SIZE):
        pass
    return folder


@pytest.fixture(scope="session")
def settings(leaf_folder) -> leaves.Settings:
    """A training of seconds: cached embeddings of 32-pixel pictures."""
    return leaves.Settings(
        str(leaf_folder), epochs=3, batch_size=8, lr=0.02, cache_features=True, crop=32, seed=1
    )


@pytest.fixture(scope="session")
def trained(settings, tmp_path_factory) -> Path:
    """A finished run of 3 epochs; tests only read it."""
    folder = tmp_path_factory.mktemp("runs") / "trained"
    for _ in leaves.train(folder, settings):
        pass
    return folder
