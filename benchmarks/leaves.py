"""Times an epoch of the leaf training beside a plain restatement of the usual script.

    python benchmarks/leaves.py [IMAGES]

Both train a new head on ImageNet's MobileNetV2 for drawn leaves. The usual script is restated here: an
ImageFolder, torchvision's random crop, flip, rotation and jitter on PIL images, a DataLoader, everything
in train mode, the backbone run in every epoch.
"""

import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from safetensors.torch import load_file
from torch.nn import functional as F
from torch.utils.data import DataLoader

from vision_core import leaves, torchvision_cpu, weights
from vision_core.training import Done, Epoch

torchvision_cpu.prepare()
from torchvision import datasets, transforms  # noqa: E402 - needs the line above
from torchvision.models import mobilenet_v2  # noqa: E402

EPOCHS = 3


def ours(data: Path, out: Path, cached: bool) -> dict[str, float]:
    start, ends, result = time.perf_counter(), [], {}
    settings = leaves.Settings(str(data), epochs=EPOCHS, cache_features=cached)
    for event in leaves.train(out, settings):
        if isinstance(event, Epoch):
            ends.append(time.perf_counter())
        elif isinstance(event, Done):
            result = event.result
    images = sum(counts["train"] for counts in result["images"].values())
    epoch = (ends[-1] - ends[0]) / (EPOCHS - 1)
    return {
        "epoch s": epoch,
        "images per s": images / epoch,
        "first epoch after s": ends[0] - start,
        "start to measured model s": time.perf_counter() - start,
        "test accuracy": result["metrics"]["test"]["accuracy"],
    }


def usual(data: Path) -> dict[str, float]:
    start = time.perf_counter()
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
    model.load_state_dict(load_file(weights.find("imagenet")))
    for parameter in model.features.parameters():
        parameter.requires_grad = False
    model.classifier[1] = torch.nn.Linear(1280, len(pictures.classes))
    optimizer, ends = torch.optim.Adam(model.classifier.parameters(), 1e-3), []
    for _ in range(EPOCHS):
        model.train()
        for x, y in DataLoader(train, 32, shuffle=True, num_workers=2):
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            right = sum((model(x).argmax(1) == y).sum().item() for x, y in DataLoader(validation, 32))
        ends.append(time.perf_counter())
    epoch = (ends[-1] - ends[0]) / (EPOCHS - 1)
    return {
        "epoch s": epoch,
        "images per s": len(train) / epoch,
        "first epoch after s": ends[0] - start,
        "validation accuracy": right / len(validation),
    }


if __name__ == "__main__":
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 240
    with TemporaryDirectory() as folder:
        for _ in leaves.generate(Path(folder) / "leaves", count):
            pass
        data, ways = Path(folder) / "leaves", {}
        ways["cached features"] = ours(data, Path(folder) / "cached", True)
        ways["frozen features"] = ours(data, Path(folder) / "frozen", False)
        ways["usual script"] = usual(data)
        for name, found in ways.items():
            print(f"{name:16}", {key: round(value, 3) for key, value in found.items()})
