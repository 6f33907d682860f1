"""Fits the gate on damaged crops, for which the gain of each cell and spoiled writing are known."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vision_core import devices
from vision_core.restoration import classifier, evidence, gate
from vision_core.restoration.degrade import KINDS
from vision_core.restoration.mixtures import LIGHT
from vision_core.restoration.network import PageRestorer
from vision_core.restoration.world import World

SIDE = 256
EQUAL = 2e-5  # added to both mean squared errors: errors below 47 dB count as equal
HIDDEN, DROPOUT = 24, 0.1
SINGLE = [kind for kind in KINDS if kind not in LIGHT]  # kinds of damage that the detail network can repair
WORSE = 2.0  # weight of a lost dB against a gained one
LEAST = 0.25  # dB; cells with a smaller difference are not used


@dataclass(frozen=True)
class Cells:
    """Evidence (N, F), gain of restoring in dB (N,), and number of the crop (N,) of each cell.

    `real` (N,) marks cells restored by the network; the others are perfect or deliberately spoiled.
    """

    evidence: np.ndarray
    gain: np.ndarray
    crop: np.ndarray
    real: np.ndarray


def gather(network: PageRestorer, world: World, count: int, seed: int) -> Cells:
    """Collect cells of `count` crops, each restored by the network, perfectly, and wrongly."""
    features, gains, crops, real = [], [], [], []
    for number in range(count):
        rng = np.random.default_rng((seed, number))
        kind = str(rng.choice(SINGLE)) if rng.random() < 0.35 else None
        plain = bool(rng.random() < 0.5 and kind is None)
        sample = world.sample(int(rng.integers(2**31)), SIDE, plain, kind)
        damaged, target = (
            part.permute(1, 2, 0).contiguous().numpy() for part in (sample.damaged, sample.target)
        )
        if rng.random() < 0.15:
            damaged = target
        restored, ink = _restored(network, damaged, sample.thumbnail)
        for page, version, predicted_ink in _versions(rng, damaged, restored, target, ink):
            features.append(evidence.cells(page, version, predicted_ink).reshape(-1, evidence.FEATURES))
            gains.append((error(page, target) - error(version, target)).ravel())
            crops.append(np.full(gains[-1].size, number))
            real.append(np.full(gains[-1].size, version is restored and predicted_ink is not None))
    return Cells(*(np.concatenate(part) for part in (features, gains, crops, real)))


def fit(cells: Cells, path: Path, seed: int = 0, steps: int = 2000) -> dict[str, Any]:
    """Fit on four sixths of the crops, choose the threshold on one, write the gate, and evaluate on the last.

    For the last two, only cells restored by the network count.
    """
    fitted, choosing, fresh = cells.crop % 6 > 1, cells.crop % 6 == 1, cells.crop % 6 == 0
    choosing, fresh = choosing & cells.real, fresh & cells.real
    gain = cells.gain[fitted]
    weight = np.abs(gain).clip(max=6) * np.where(gain > 0, 1.0, WORSE) * (np.abs(gain) > LEAST)
    model = classifier.fit(cells.evidence[fitted], gain > 0, weight, HIDDEN, seed, steps, DROPOUT)
    logits = model.logits(cells.evidence)
    threshold = _threshold(logits[choosing], cells.gain[choosing])
    replace(model, threshold=threshold).write(path)
    return decision(gate.share(logits[fresh] - threshold), cells.gain[fresh])


def decision(weights: np.ndarray, gain: np.ndarray, least: float = 1.0) -> dict[str, float]:
    """Share of the area accepted by the gate where restoring helps, and where it harms, by `least` dB."""
    helps, harms = gain >= least, gain <= -least
    return {
        "helps_taken": round(float(weights[helps].mean()), 4) if helps.any() else 1.0,
        "harms_taken": round(float(weights[harms].mean()), 4) if harms.any() else 0.0,
        "helps": round(float(helps.mean()), 4),
        "harms": round(float(harms.mean()), 4),
    }


def _threshold(logits: np.ndarray, gain: np.ndarray) -> float:
    """Choose the threshold, from -1 to 3, that gains most dB, where a loss counts `WORSE` times."""
    worth = np.where(gain > 0, gain.clip(max=6), WORSE * gain.clip(min=-6))
    thresholds = np.arange(-1.0, 3.0, 0.1)
    return float(max(thresholds, key=lambda each: float((gate.share(logits - each) * worth).mean())))


def _restored(network: PageRestorer, damaged: np.ndarray, thumbnail: Tensor) -> tuple[np.ndarray, np.ndarray]:
    x = torch.from_numpy(damaged.transpose(2, 0, 1).copy())[None].float() / 255
    with torch.inference_mode(), devices.autocast(x.device):
        restored, ink = network.detail(x.contiguous(memory_format=torch.channels_last), thumbnail[None])
    page = (restored[0].float().clamp(0, 1) * 255).round().byte().permute(1, 2, 0).contiguous().numpy()
    return page, (torch.sigmoid(ink[0, 0].float()) * 255).round().byte().numpy()


def _versions(
    rng: np.random.Generator, damaged: np.ndarray, restored: np.ndarray, target: np.ndarray, ink: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray | None]]:
    """A page with restored versions: the network's, the true one, and spoiled ones."""
    yield damaged, restored, ink
    if rng.random() < 0.4:
        yield damaged, restored, None
    if rng.random() < 0.5:
        yield damaged, target, None if rng.random() < 0.5 else ink
    if rng.random() < 0.3:
        yield _grainy(rng, target), target, None if rng.random() < 0.5 else ink
    spoiled = _spoiled(rng, restored if rng.random() < 0.7 else damaged)
    yield damaged, spoiled, ink if rng.random() < 0.6 else None


def _grainy(rng: np.random.Generator, page: np.ndarray) -> np.ndarray:
    """Add noise or dead pixels only."""
    if rng.random() < 0.5:
        return (page + rng.normal(0, rng.uniform(3, 20), page.shape)).clip(0, 255).round().astype(np.uint8)
    chance = rng.random(page.shape)
    ratio = rng.uniform(0.001, 0.01) / 2
    return np.where(chance < ratio, 0, np.where(chance > 1 - ratio, 255, page)).astype(np.uint8)


def _spoiled(rng: np.random.Generator, page: np.ndarray) -> np.ndarray:
    import cv2

    out, side = page.copy(), page.shape[0]
    top, left = (int(rng.integers(0, side // 2)) for _ in range(2))
    tall, wide = (int(rng.integers(side // 6, side // 2)) for _ in range(2))
    area = out[top : top + tall, left : left + wide]
    match rng.integers(5):
        case 0:  # erased
            area[:] = cv2.morphologyEx(area, cv2.MORPH_CLOSE, np.ones((21, 21), np.uint8))
        case 1:  # other writing in its place
            area[:] = area[::-1, ::-1]
        case 2:  # thinner
            area[:] = cv2.dilate(area, np.ones((3, 3), np.uint8))
        case 3:  # smeared
            area[:] = cv2.GaussianBlur(area, (0, 0), rng.uniform(1.5, 4))
        case _:  # invented
            other = np.roll(page, (side // 3, side // 3), (0, 1))[top : top + tall, left : left + wide]
            area[:] = np.minimum(area, other)
    return out


def error(page: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Mean squared error of each cell in dB, (h, w)."""
    squared = ((page.astype(np.float32) - target) ** 2).mean(2) / 255**2
    side = page.shape[0] // evidence.CELL
    return 10 * np.log10(squared.reshape(side, evidence.CELL, side, evidence.CELL).mean((1, 3)) + EQUAL)
