"""Tests of the static page: same results as PyTorch, offline use."""

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch

from vision_core import leaves
from vision_core.leaves import features
from vision_core.leaves.augment import centre
from vision_core.leaves.data import square
from vision_core.leaves.generate import leaf
from vision_core.leaves.site import publish

ASK = Path(__file__).with_name("judge.mjs")


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
def test_javascript_answers_as_pytorch_does(tmp_path):
    model, _ = leaves.load()
    site = publish(tmp_path / "site")
    squares = np.stack([square(leaf(name, 3, 128)[0], model.square) for name in ("healthy", "rust")])
    pixels = centre(features.tensor(squares), model.crop)
    (tmp_path / "pixels.bin").write_bytes(pixels.numpy().astype("<f4").tobytes())
    process = subprocess.run(["node", ASK, site, tmp_path / "pixels.bin"], capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    with torch.no_grad():
        probabilities, scores = model.judge(pixels)
    for row, expected, far in zip(json.loads(process.stdout), probabilities, scores, strict=True):
        assert row["probabilities"] == pytest.approx(expected.tolist(), abs=0.02)
        assert row["oodScore"] == pytest.approx(far.item(), rel=0.02)


def test_a_page_is_written_over_an_older_one_and_never_over_a_file(tmp_path, trained):
    site = publish(tmp_path / "site", trained / "model.safetensors")
    assert json.loads((site / "data" / "leaves.json").read_text())["classes"] == [
        "healthy",
        "rot",
        "rust",
        "scab",
    ]
    assert publish(site) == site and (site / "data" / "leaves.bin").stat().st_size < 10_000_000
    assert "http" not in "".join(path.read_text() for path in site.glob("js/*.js"))
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="is a file; the name of a folder was expected"):
        publish(tmp_path / "file")
