"""The fixed set of damaged validation crops, and its preview."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vision_core import devices
from vision_core.files import atomic
from vision_core.pictures import images
from vision_core.restoration import data, metrics
from vision_core.restoration.degrade import KINDS, SEVERITIES, degrade, draw, draw_mixture

SIDE = 256
BATCH = 8


class Validation:
    """One crop for each kind and severity, five mixtures and five undamaged crops.

    They depend only on the seed, so that metrics can be compared between epochs and runs.
    """

    def __init__(self, pages: list[data.Page], seed: int, side: int = SIDE) -> None:
        generator = devices.generator(seed, 0, 1)
        self.labels = [
            (kind, severity) for kind in (*KINDS, "mixture", "undamaged") for severity in SEVERITIES
        ]
        picks = torch.randint(len(pages), (len(self.labels),), generator=generator).tolist()
        self.clean = torch.stack([data.crop(pages[pick], side, generator) for pick in picks])
        recipes = []
        for number, (kind, severity) in enumerate(self.labels):
            if kind == "mixture":
                recipes.append(draw_mixture(number, severity))
            else:
                recipes.append(draw(number, (kind,) if kind in KINDS else (), severity))
        damaged = degrade(self.clean, recipes, self.clean.roll(1, 0))
        self.damaged = (damaged * 255).round() / 255  # as it would be in a file
        self.before = metrics.psnr(self.damaged, self.clean)

    def measure(self, model: nn.Module, preview: Path | None = None) -> dict[str, Any]:
        """PSNR, SSIM and L1 of the restored crops; mean gain over the damaged crops, and gain by kind."""
        restored = _restore(model, self.damaged)
        psnr = metrics.psnr(restored, self.clean)
        gain = (psnr - self.before).view(-1, len(SEVERITIES))  # kinds, then mixtures, then undamaged
        kinds = dict.fromkeys(kind for kind, _ in self.labels)
        by_kind = dict(zip(kinds, gain.mean(1).tolist(), strict=True))
        by_kind["undamaged"] = psnr[-len(SEVERITIES) :].mean().item()
        if preview is not None:
            _save_preview(preview, self.damaged, restored, self.clean)
        return {
            "val_psnr": psnr[: -len(SEVERITIES)].mean().item(),
            "val_gain": gain[:-2].mean().item(),
            "val_gain_mixture": gain[-2].mean().item(),
            "val_undamaged": by_kind["undamaged"],
            "val_ssim": metrics.ssim(restored, self.clean).mean().item(),
            "val_l1": (restored - self.clean).abs().mean().item(),
            "gain": {kind: round(value, 3) for kind, value in by_kind.items()},
        }


@torch.inference_mode()
def _restore(model: nn.Module, damaged: Tensor) -> Tensor:
    """Restore crops, (N, 3, S, S) in [0, 1], in batches on the model's device."""
    device = next(model.parameters()).device
    parts = []
    for batch in damaged.split(BATCH):
        with devices.autocast(device):
            out = model(batch.to(device).contiguous(memory_format=torch.channels_last))
        parts.append(out.float().clamp(0, 1).cpu())
    return torch.cat(parts)


def _save_preview(path: Path, damaged: Tensor, restored: Tensor, clean: Tensor) -> None:
    """Save a grid of damaged, restored and clean crops, one column per kind of damage."""
    picks = [
        index + index // len(SEVERITIES) % len(SEVERITIES) for index in range(0, len(clean), len(SEVERITIES))
    ]
    rows = [torch.cat(list(part[picks, :, ::2, ::2]), 2) for part in (damaged, restored, clean)]
    picture = images.Picture(images.from_tensor(torch.cat(rows, 1)[None]))
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic(path) as file:
        file.write(images.encode(picture, "JPEG", 85))
