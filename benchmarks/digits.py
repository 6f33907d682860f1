"""Times the default digit training against a typical script.

    python benchmarks/digits.py

Both train 20 epochs of 100 batches of 64 on the embedded digits, evaluate every epoch, and write the
weights of every epoch and a JSON file. The typical script uses a Dataset that transforms PIL images, a
DataLoader, and `json.dump(indent=2)` for all weights and the feature maps of one image.
"""

import json
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from PIL import Image
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from vision_core import digits, torchvision_cpu
from vision_core.digits.data import Split

torchvision_cpu.prepare()
from torchvision import transforms  # noqa: E402 - needs the line above


def ours(folder: Path) -> dict[str, float]:
    start = time.perf_counter()
    for event in digits.train(folder / "run"):
        result = event
    trained = time.perf_counter()
    files = digits.export(folder / "run", folder / "digits.json")
    packed = time.perf_counter()
    [document] = digits.export(folder / "run", folder / "document.json", "json")
    return {
        "training s": trained - start,
        "packed export s": packed - trained,
        "JSON export s": time.perf_counter() - packed,
        "test accuracy": result.result["metrics"]["test_accuracy"],
        "packed MB": sum(path.stat().st_size for path in files) / 1e6,
        "JSON MB": document.stat().st_size / 1e6,
    }


class Pictures(Dataset):
    def __init__(self, split: Split) -> None:
        self.images = [Image.fromarray(image) for image in split.images[:, 0].numpy()]
        self.labels = split.labels.tolist()
        self.transform = transforms.Compose(
            [transforms.ToTensor(), transforms.Normalize((0.1307,), (0.3081,))]
        )

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return self.transform(self.images[index]), self.labels[index]


class Plain(digits.DigitNet):
    """The same network for normalised inputs."""

    def layers(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        return super().layers(x * 0.3081 + 0.1307)


def usual(folder: Path) -> dict[str, float]:
    data, start = digits.load(), time.perf_counter()
    model, story = Plain(), []
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    train = DataLoader(Pictures(data.train), batch_size=64, shuffle=True)
    test = DataLoader(Pictures(data.test), batch_size=1000)
    for epoch in range(21):
        model.train()
        for number, (x, y) in enumerate(train):
            if epoch == 0 or number == 100:
                break
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            right = sum((model(x).argmax(1) == y).sum().item() for x, y in test)
            maps = model.layers(test.dataset[0][0][None])
        torch.save(model.state_dict(), folder / f"epoch_{epoch}.pth")
        story.append(
            {
                "accuracy": right / len(data.test),
                "maps": {name: value.tolist() for name, value in maps.items()},
                "weights": {name: value.tolist() for name, value in model.state_dict().items()},
            }
        )
    trained = time.perf_counter()
    (folder / "usual.json").write_text(json.dumps(story, indent=2))
    return {
        "training s": trained - start,
        "JSON export s": time.perf_counter() - trained,
        "test accuracy": story[-1]["accuracy"],
        "JSON MB": (folder / "usual.json").stat().st_size / 1e6,
    }


if __name__ == "__main__":
    for way in (ours, usual):
        with TemporaryDirectory() as folder:
            print(f"{way.__name__:6}", {name: round(value, 3) for name, value in way(Path(folder)).items()})
