"""The leaf classifier as a static page that runs in the browser; no picture is uploaded."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vision_core.files import atomic, bundled
from vision_core.leaves.bundle import load
from vision_core.leaves.gate import CLIP
from vision_core.leaves.network import LAYERS, MEAN, STD, LeafNet

FILES = ("index.html", "style.css", "README.md", "js/main.js", "js/network.js")
FORMAT = 3


def publish(out: str | Path, model: str | Path | None = None) -> Path:
    """Write the page with a model to a folder, about 9 MB; an older page in it is replaced.

    Raises:
        ValueError: `out` is a file; the model cannot be read.
    """
    out = Path(out)
    if out.exists() and not out.is_dir():
        raise ValueError(f"{out} is a file; the name of a folder was expected")
    index, data = export(*load(model))
    for name in FILES:
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(bundled("apps") / "leaves_site" / name, out / name)
    for name, content in (("leaves.bin", data), ("leaves.json", json.dumps(index).encode())):
        with atomic(out / "data" / name) as file:
            file.write(content)
    return out


def export(model: LeafNet, metadata: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
    """The network as a list of steps, and its weights as little-endian float16.

    Each batch norm is folded into its convolution; `tensors` gives offset and shape, in numbers.
    """
    tensors: dict[str, dict[str, Any]] = {}
    parts: list[np.ndarray] = []

    def put(name: str, value: Tensor) -> str:
        array = value.detach().float().clamp(-65504, 65504).numpy().astype("<f2")
        tensors[name] = {"offset": sum(part.size for part in parts), "shape": list(array.shape)}
        parts.append(array.ravel())
        return name

    blocks = []
    for number, block in enumerate(model.folded()):
        residual = bool(getattr(block, "use_res_connect", False))
        steps = [
            _step(f"{number}.{place}", conv, clipped, put)
            for place, (conv, clipped) in enumerate(_convolutions(block))
        ]
        blocks.append({"steps": steps, "residual": residual, "described": number in LAYERS})
    assert model.gate is not None
    linear: Any = model.classifier[1]
    # standardisation and temperature are folded into the head
    weight = linear.weight / model.feature_std / model.temperature
    put("head", weight)
    put("bias", linear.bias / model.temperature - weight @ model.feature_mean)
    put("feature_mean", model.feature_mean)
    put("feature_std", model.feature_std)
    for name, value in model.gate.state_dict().items():
        put(f"gate.{name}", value)
    index = {
        "format": FORMAT,
        "classes": model.classes,
        "square": round(model.crop * 8 / 7),
        "crop": model.crop,
        "reduced": model.reduced,
        "mean": MEAN,
        "std": STD,
        "clipped": CLIP,
        "blocks": blocks,
        "tensors": tensors,
        "accuracy": metadata.get("metrics", {}).get("test", {}).get("accuracy"),
    }
    return index, np.concatenate(parts).tobytes()


def _convolutions(block: nn.Module) -> list[tuple[nn.Conv2d, bool]]:
    """The convolutions of a block, and whether ReLU6 follows."""
    layers = [module for module in block.modules() if isinstance(module, nn.Conv2d | nn.ReLU6)]
    after = [*layers[1:], None]
    return [
        (module, isinstance(following, nn.ReLU6))
        for module, following in zip(layers, after, strict=True)
        if isinstance(module, nn.Conv2d)
    ]


def _step(name: str, conv: nn.Conv2d, clipped: bool, put: Any) -> dict[str, Any]:
    kind = "pointwise" if conv.kernel_size == (1, 1) else "whole" if conv.groups == 1 else "depthwise"
    bias = conv.bias if conv.bias is not None else torch.zeros(conv.out_channels)
    return {
        "kind": kind,
        "weight": put(f"{name}.weight", conv.weight),
        "bias": put(f"{name}.bias", bias),
        "stride": conv.stride[0],
        "clipped": clipped,
    }
