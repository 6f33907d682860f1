"""A small folder of drawn leaves, shared by all tests of the leaf system."""

from pathlib import Path

import pytest

from vision_core.leaves.generate import generate

SIZE = 64


@pytest.fixture(scope="session")
def drawn(tmp_path_factory) -> Path:
    """An ImageFolder of 60 leaves, 15 a class, 64 pixels; tests only read it."""
    folder = tmp_path_factory.mktemp("leaves") / "drawn"
    for _ in generate(folder, 60, seed=3, size=SIZE):
        pass
    return folder
