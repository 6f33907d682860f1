"""Tests of torchvision with a CPU-only torch, each in a fresh process."""

import subprocess
import sys

import pytest


def python(code: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)


def test_transforms_and_models_work_after_prepare():
    """Where torchvision imports by itself, prepare must do nothing; where it does not, it must help."""
    alone = python("import torchvision")
    assert alone.returncode == 0 or "torchvision::nms does not exist" in alone.stderr
    process = python("""
import torch
from vision_core import torchvision_cpu
first = torchvision_cpu.prepare()
assert torchvision_cpu.prepare() is first
import torchvision
from torchvision.transforms import v2
picture = torch.arange(2 * 3 * 8 * 8, dtype=torch.uint8).reshape(2, 3, 8, 8)
small = v2.Compose([v2.Resize((4, 4)), v2.ToDtype(torch.float32, scale=True)])(picture)
assert small.shape == (2, 3, 4, 4) and 0 <= small.min() and small.max() <= 1
model = torchvision.models.resnet18(weights=None).eval()
assert model(torch.zeros(1, 3, 32, 32)).shape == (1, 1000)
import inspect
assert inspect.isclass(torchvision.datasets.ImageFolder)
print(first is None)
""")
    assert process.returncode == 0, process.stderr
    assert process.stdout.strip() == str(alone.returncode == 0)


def test_operators_that_are_there_are_left_alone():
    process = python("""
import torch
theirs = torch.library.Library("torchvision", "DEF")
theirs.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
theirs.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
theirs.impl("nms", lambda dets, scores, threshold: torch.tensor([7]), "CPU")
from vision_core import torchvision_cpu
assert torchvision_cpu.prepare() is None
import torchvision
assert torch.ops.torchvision.nms(torch.zeros(1, 4), torch.zeros(1), 0.5).tolist() == [7]
""")
    assert process.returncode == 0, process.stderr


def test_operators_that_load_are_left_alone(tmp_path):
    """A compiled library that loads, in the place of torchvision's: any that this Python can load serves."""
    process = python(f"""
import shutil, sys, torch
from pathlib import Path
package = Path({str(tmp_path)!r}) / "torchvision"
package.mkdir()
(package / "__init__.py").write_text("")
library = next(Path(torch.__file__).parent.glob("lib/libtorch_global_deps*"), None)
if library is None:
    sys.exit(77)
shutil.copy(library, package / f"_C{{library.suffix}}")
sys.path.insert(0, {str(tmp_path)!r})
from vision_core import torchvision_cpu
assert torchvision_cpu.prepare() is None
assert not hasattr(torch.ops.torchvision, "nms")  # nothing was declared
""")
    if process.returncode == 77:
        pytest.skip("this build of torch has no small library to borrow")
    assert process.returncode == 0, process.stderr
