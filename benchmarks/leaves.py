"""Times an epoch of the leaf training against a typical script.

    python benchmarks/leaves.py [IMAGES]

Both train a new head on a MobileNetV2 of ImageNet for generated leaves. The typical script uses an
ImageFolder, torchvision's random crop, flip, rotation and jitter on PIL images and a DataLoader, and runs
the backbone in every epoch. On a busy machine, only the processor seconds, of all threads and workers, are
comparable; the load is printed.
"""

import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from safetensors.torch import load_file
from torch.nn import functional as F
from torch.utils.data import DataLoader

from vision_core import leaves, torchvision_cpu, weights
from vision_core.events import Done, Epoch

torchvision_cpu.prepare()
from torchvision import datasets, transforms  # noqa: E402 - needs the line above
from torchvision.models import mobilenet_v2  # noqa: E402

EPOCHS = 3


def spent() -> tuple[float, float]:
    """Wall-clock seconds, and processor seconds of this process and its finished children."""
    times = os.times()
    return times.elapsed, times.user + times.system + times.children_user + times.children_system


def since(start: tuple[float, float], name: str, parts: int = 1) -> dict[str, float]:
    clock, processor = (now - before for now, before in zip(spent(), start, strict=True))
    return {f"{name} s": clock / parts, f"{name} processor s": processor / parts}


def ours(data: Path, out: Path, cached: bool) -> dict[str, float]:
    start, first, timings, result, validation = spent(), spent(), {}, {}, 0.0
    settings = leaves.Settings(str(data), epochs=EPOCHS, cache_features=cached)
    for event in leaves.train(out, settings):
        if isinstance(event, Epoch):
            if event.epoch == 1:
                first, timings = spent(), since(start, "first epoch after")
            elif event.epoch == EPOCHS:
                timings |= since(first, "epoch", EPOCHS - 1)
            validation = event.metrics["val_accuracy"]
        elif isinstance(event, Done):
            result = event.result
    images = sum(counts["train"] for counts in result["images"].values())
    return {
        **timings,
        "images per s": images / timings["epoch s"],
        **since(start, "start to measured model"),
        "validation accuracy": validation,
        "test accuracy": result["metrics"]["test"]["accuracy"],
    }


def usual(data: Path) -> dict[str, float]:
    start, first, timings, correct = spent(), spent(), {}, 0
    steps = [
        transforms.RandomResizedCrop(224),
        transforms.RandomHorizontalFlip(),
        transforms.RandomRotation(15),
        transforms.ColorJitter(0.2, 0.2),
        transforms.ToTensor(),
        transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
    ]
    pictures = datasets.ImageFolder(data, transforms.Compose(steps))
    train, validation = torch.utils.data.random_split(pictures, [0.8, 0.2])
    model = mobilenet_v2()
    model.load_state_dict(load_file(weights.find("mobilenet")), strict=False)
    for parameter in model.features.parameters():
        parameter.requires_grad = False
    model.classifier[1] = torch.nn.Linear(1280, len(pictures.classes))
    optimizer = torch.optim.Adam(model.classifier.parameters(), 1e-3)
    for epoch in range(EPOCHS):
        model.train()
        for x, y in DataLoader(train, 32, shuffle=True, num_workers=2):
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            correct = sum((model(x).argmax(1) == y).sum().item() for x, y in DataLoader(validation, 32))
        if epoch == 0:
            first, timings = spent(), since(start, "first epoch after")
    timings |= since(first, "epoch", EPOCHS - 1)
    return {
        **timings,
        "images per s": len(train) / timings["epoch s"],
        "validation accuracy": correct / len(validation),
    }


if __name__ == "__main__":
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 240
    with TemporaryDirectory() as folder:
        for _ in leaves.generate(Path(folder) / "leaves", count):
            pass
        data = Path(folder) / "leaves"
        ways = {
            "cached features": lambda: ours(data, Path(folder) / "cached", True),
            "frozen features": lambda: ours(data, Path(folder) / "frozen", False),
            "usual script": lambda: usual(data),
        }
        for name, measure in ways.items():
            found = measure()
            print(f"{name:16}", {key: round(value, 3) for key, value in found.items()}, flush=True)
            print("load over 1, 5 and 15 minutes:", *(round(load, 1) for load in os.getloadavg()), flush=True)
