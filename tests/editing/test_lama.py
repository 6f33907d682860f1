"""Tests of LaMa with a small network of the same shapes."""

import json
import subprocess
import sys

import numpy as np
import pytest
from hub_server import Hub
from small_models import finish
from test_hub import around

from vision_core.editing import masks
from vision_core.editing.fill import lama

onnx = pytest.importorskip("onnx")


def network(path, side: int = lama.SIDE):
    """Grey where the mask is, and the picture elsewhere, in 0 ... 255 as LaMa's export."""
    from onnx import TensorProto, helper

    shape = {"image": [1, 3, side, side], "mask": [1, 1, side, side], "output": [1, 3, side, side]}
    image, mask, output = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, size) for name, size in shape.items()
    )
    constants = [
        helper.make_tensor(name, TensorProto.FLOAT, [], [value])
        for name, value in (("one", 1.0), ("grey", 128.0), ("white", 255.0))
    ]
    nodes = [
        helper.make_node(kind, sample, [expected])
        for kind, sample, expected in (
            ("Sub", ["one", "mask"], "known"),
            ("Mul", ["image", "known"], "kept"),
            ("Mul", ["kept", "white"], "bright"),
            ("Mul", ["mask", "grey"], "filled"),
            ("Add", ["bright", "filled"], "output"),
        )
    ]
    graph = helper.make_graph(nodes, "stand-in", [image, mask], [output], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, path)
    return path


@pytest.mark.parametrize("size", [(60, 90), (700, 600)])
def test_it_paints_the_hole_and_nothing_else(tmp_path, size):
    rgb = np.random.default_rng(0).integers(0, 90, (*size, 3), dtype=np.uint8)
    hole = masks.box(*size, 20, 20, size[1] // 2, size[0] // 2)
    painter = lama.Lama(network(tmp_path / "lama.onnx"))
    filled, _ = finish(painter.paint(rgb, hole))
    assert (filled[~hole] == rgb[~hole]).all()
    middle = filled[masks.grow(hole, -3)].astype(float)
    assert np.abs(middle.mean() - 128) < 4
    assert (middle.std() > 10) == (min(size) > lama.SIDE)  # a larger one has the picture's own detail


def test_another_network_is_refused(tmp_path):
    (tmp_path / "junk.onnx").write_bytes(b"no network")
    rgb, hole = np.zeros((64, 64, 3), np.uint8), masks.box(64, 64, 8, 8, 20, 20)
    for path, sentence in (
        (tmp_path / "junk.onnx", "cannot be loaded"),
        (network(tmp_path / "small.onnx", 64), "512 x 512 were expected"),
    ):
        with pytest.raises(ValueError, match=sentence):
            finish(lama.Lama(path).paint(rgb, hole))


def test_it_is_fetched_by_name_and_then_the_first_choice(tmp_path):
    (tmp_path / "repo").mkdir()
    network(tmp_path / "repo" / lama.FILE)
    (tmp_path / "repo" / "other.onnx").write_bytes(b"not needed")
    server = Hub({lama.REPO: tmp_path / "repo"})
    env = around(server, tmp_path / "home")
    try:
        fetched = subprocess.run(
            [sys.executable, "-m", "vision_core", "models", "--fetch", "lama", "--json"],
            env=env,
            capture_output=True,
            text=True,
            timeout=200,
        )
    finally:
        server.close()
    assert fetched.returncode == 0, fetched.stderr
    assert json.loads(fetched.stdout)["file"].endswith(lama.FILE)
    assert not list((tmp_path / "home").rglob("other.onnx"))
    program = """from vision_core.editing import painter
print(painter().name, painter(material="blur").name)"""
    result = subprocess.run(
        [sys.executable, "-c", program], env={**env, "HF_HUB_OFFLINE": "1"}, capture_output=True, text=True
    )
    assert result.stdout.split() == ["lama", "blur"], result.stderr
