"""Evaluation on mixtures of damage, single kinds, undamaged pages and real damaged pages."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vision_core import devices
from vision_core.pictures import images
from vision_core.restoration import classical, data, gate, learn_gate, metrics
from vision_core.restoration.classical import BASELINES
from vision_core.restoration.degrade import KINDS, SEVERITIES, degrade, draw, draw_mixture
from vision_core.restoration.networks import Restorer
from vision_core.restoration.restore import Change, Options, change, finish, restore
from vision_core.restoration.world import World

Row = dict[str, Any]


def mixtures(
    pages: list[data.Page], network: Restorer, crops: int = 40, seed: int = 0, side: int = 384
) -> Iterator[Row]:
    """One row per crop, damaged by a mixture of the original project's kinds and ranges: PSNR in dB.

    "network" is without and "gate" with the gate, "light_known" with the optimal gain and offset of each
    colour, "classical" the best baseline for the crop. "helps_taken" and "harms_taken": see `learn_gate`.
    """
    world = World([page.rgb for page in pages])
    for number in range(crops):
        clean, sample = world.pair(10**6 + seed * crops + number, side)
        page, truth = (part.permute(1, 2, 0).contiguous().numpy() for part in (sample, clean))
        yield {"crop": number} | _compared(page, truth, network)


def _compared(page: np.ndarray, truth: np.ndarray, network: Restorer) -> Row:
    changed = change(page, network, Options())
    alone, gated = (_finished(page, changed, on) for on in (False, True))
    row = {
        "damaged": _psnr(page, truth),
        "network": _psnr(alone, truth),
        "gate": _psnr(gated, truth),
        "light_known": _psnr(_fitted(changed.detail, truth), truth),
        "classical": max(_psnr(method(page), truth) for method in BASELINES.values()),
    }
    return {name: round(value, 3) for name, value in row.items()} | _decided(page, truth, changed)


def _finished(page: np.ndarray, changed: Change, gated: bool) -> np.ndarray:
    return finish(images.Picture(page), changed, Options(gate=gated)).picture.rgb


def _decided(page: np.ndarray, truth: np.ndarray, changed: Change) -> Row:
    """Numbers of cells that improve and worsen by 1 dB under the clean illumination, and accepted."""
    light = _light(page, truth)
    gain = learn_gate.error(light(page), truth) - learn_gate.error(light(changed.detail), truth)
    weights = gate.shares(page, changed.detail, changed.ink)[: gain.shape[0], : gain.shape[1]]
    counts = {}
    for name, where in (("helps", gain >= 1), ("harms", gain <= -1)):
        counts |= {name: int(where.sum()), f"{name}_taken": round(float(weights[where].sum()), 3)}
    return counts


def _light(page: np.ndarray, truth: np.ndarray):
    """A function that applies the optimal gain and offset per colour from `page` to `truth`."""
    x, y = (part.reshape(-1, 3).astype(np.float64) for part in (page, truth))
    spread = ((x - x.mean(0)) ** 2).mean(0)
    gain = ((x - x.mean(0)) * (y - y.mean(0))).mean(0) / np.maximum(spread, 1e-6)
    offset = y.mean(0) - gain * x.mean(0)
    return lambda other: (other * gain + offset).clip(0, 255).round().astype(np.uint8)


def _fitted(page: np.ndarray, truth: np.ndarray) -> np.ndarray:
    return _light(page, truth)(page)


def _psnr(page: np.ndarray, truth: np.ndarray) -> float:
    return metrics.psnr(images.to_tensor(page), images.to_tensor(truth)).item()


def mixtures_summary(rows: list[Row]) -> dict[str, float]:
    """Summary of the rows of `mixtures`."""

    def gains(name: str, less: str = "damaged") -> np.ndarray:
        return np.array([row[name] - row[less] for row in rows])

    total = {
        name: sum(row[name] for row in rows) for name in ("helps", "harms", "helps_taken", "harms_taken")
    }
    return {
        "network": round(float(gains("network").mean()), 2),
        "network_worst": round(float(gains("network").min()), 2),
        "gate": round(float(gains("gate").mean()), 2),
        "gate_worst": round(float(gains("gate").min()), 2),
        "light_known": round(float(gains("light_known").mean()), 2),
        "over_classical": round(float(gains("gate", "classical").mean()), 2),
        "helps_taken": round(total["helps_taken"] / max(1, total["helps"]), 3),
        "harms_taken": round(total["harms_taken"] / max(1, total["harms"]), 3),
        "harms": round(total["harms"] / max(1, total["helps"] + total["harms"]), 4),
    }


def undamaged(pages: list[data.Page], network: Restorer) -> Iterator[Row]:
    """Restore whole clean pages with default options: PSNR in dB, and the share of sharpness kept."""
    for page in pages:
        rgb = page.rgb
        restored = restore(images.Picture(rgb), network).picture.rgb
        before, after = (metrics.sharpness(images.to_tensor(x)).item() for x in (rgb, restored))
        yield {
            "page": page.name,
            "psnr": round(_psnr(restored, rgb), 2),
            "sharpness": round(after / max(before, 1e-6), 3),
        }


def undamaged_summary(rows: list[Row]) -> dict[str, float]:
    """Summary of the rows of `undamaged`; identical pages count as 60 dB."""
    psnr = np.array([min(60.0, row["psnr"]) for row in rows])
    return {
        "psnr": round(float(psnr.mean()), 2),
        "below_34": round(float((psnr < 34).mean()), 3),
        "worst": round(float(psnr.min()), 2),
        "sharpness": round(float(np.mean([row["sharpness"] for row in rows])), 3),
    }


def evaluate(
    pages: list[data.Page], network: Restorer, crops: int = 2, seed: int = 0, side: int = 256
) -> Iterator[Row]:
    """One row for each kind and severity, for mixtures of each severity, and for undamaged crops.

    Rows hold PSNR (dB) and SSIM of the damaged crop, the restored crop and the best classical baseline,
    chosen by its PSNR; means over `crops` crops of `side` pixels. "psnr_gated" is with the gate, as pages are
    restored by default; "restored" is without it. For undamaged crops, rows also hold the share of sharpness
    kept, and the share of crops that the gate would keep.
    """
    generator = devices.generator(seed, 1)
    number = 0
    for kind in (*KINDS, "mixture", "undamaged"):
        for severity in SEVERITIES:
            picks = torch.randint(len(pages), (crops,), generator=generator).tolist()
            clean = torch.stack([data.crop(pages[pick], side, generator) for pick in picks])
            recipes = []
            for _ in range(crops):
                number += 1
                kinds = (kind,) if kind in KINDS else ()
                mixed = kind == "mixture"
                recipes.append(draw_mixture(number, severity) if mixed else draw(number, kinds, severity))
            damaged = degrade(clean, recipes, clean.roll(1, 0))
            yield {"kind": kind, "severity": severity} | compare(clean, damaged, network, kind == "undamaged")


def summary(rows: list[Row]) -> dict[str, float]:
    """Summary of the rows of `evaluate`: mean gains in dB over kinds and severities, and undamaged pages."""
    single = [row for row in rows if row["kind"] in KINDS]
    mixed = [row for row in rows if row["kind"] == "mixture"]
    whole = [row for row in rows if row["kind"] == "undamaged"]

    def mean(rows: list[Row], name: str, less: str | None = None) -> float:
        return round(float(np.mean([r[name] - (r[less] if less else 0) for r in rows])), 3)

    return {
        "gain": mean(single, "psnr_restored", "psnr_damaged"),
        "gain_gated": mean(single, "psnr_gated", "psnr_damaged"),
        "gain_over_classical": mean(single, "psnr_restored", "psnr_classical"),
        "mixture_gain": mean(mixed, "psnr_restored", "psnr_damaged"),
        "mixture_gain_over_classical": mean(mixed, "psnr_restored", "psnr_classical"),
        "undamaged_psnr": mean(whole, "psnr_restored"),
        "undamaged_sharpness": mean(whole, "sharpness_kept"),
        "undamaged_kept_by_gate": mean(whole, "kept_by_gate"),
    }


def evaluate_pairs(folder: Path, network: Restorer) -> Iterator[Row]:
    """F-measures in % on real pages NAME_source.* with ground-truth ink NAME_target.*.

    Of Otsu's threshold on the raw page, on the restored page with the gate ("restored") and without it
    ("ungated"); of Sauvola's and Wolf's on the raw page; of the predicted ink, also as pseudo-F-measure.

    Raises:
        ValueError: the folder contains no pairs, or the sizes of a pair differ.
    """
    sources = pairs(folder)
    if not sources:
        raise ValueError(f"{folder} holds no pairs NAME_source.png and NAME_target.png")
    for source, target in sources:
        page, mask = images.read(source), images.read(target)
        if page.rgb.shape != mask.rgb.shape:
            raise ValueError(f"{source} and {target} differ in size")
        ink = mask.rgb[..., 0] < 128
        changed = change(page.rgb, network, Options())
        gated, alone = (_finished(page.rgb, changed, on) for on in (True, False))
        black = {
            "raw": classical.otsu(page.rgb),
            "restored": classical.otsu(gated),
            "ungated": classical.otsu(alone),
        }
        black |= {"sauvola": classical.sauvola(page.rgb), "wolf": classical.wolf(page.rgb)}
        black["ink"] = finish(page, changed, Options(output="binary")).picture.rgb
        row = {name: round(f_measure(binary[..., 0] < 128, ink), 2) for name, binary in black.items()}
        pseudo = round(f_measure(black["ink"][..., 0] < 128, ink, pseudo=True), 2)
        yield {"page": source.stem.removesuffix("_source"), **row, "ink_pseudo": pseudo}


def pairs_summary(rows: list[Row]) -> dict[str, float]:
    """Summary of the rows of `evaluate_pairs`."""
    names = [name for name in rows[0] if name != "page"]
    gain, ungated = (np.array([row[name] - row["raw"] for row in rows]) for name in ("restored", "ungated"))
    over = np.array([row["ink"] - max(row["raw"], row["sauvola"], row["wolf"]) for row in rows])
    return {name: round(float(np.mean([row[name] for row in rows])), 2) for name in names} | {
        "mean_gain": round(float(gain.mean()), 2),
        "worst_gain": round(float(gain.min()), 2),
        "better_by_1": int((gain >= 1).sum()),
        "ungated_worst": round(float(ungated.min()), 2),
        "ink_worst_to_best_threshold": round(float(over.min()), 2),
    }


def f_measure(predicted: np.ndarray, ink: np.ndarray, pseudo: bool = False) -> float:
    """Harmonic mean of precision and recall in %, of bool (H, W); if `pseudo`, recall is of the skeleton.

    Source: Pratikakis et al. 2010, "H-DIBCO 2010".
    """
    right = float((predicted & ink).sum())
    precision = right / max(1.0, float(predicted.sum()))
    expected = ink
    if pseudo:
        from skimage.morphology import skeletonize

        expected = skeletonize(ink)
    recall = float((predicted & expected).sum()) / max(1.0, float(expected.sum()))
    return 200 * precision * recall / max(1e-9, precision + recall)


def pairs(folder: Path) -> list[tuple[Path, Path]]:
    """The files NAME_source.* in a folder that have a NAME_target.*, with these."""
    matched = []
    for source in sorted(folder.glob("*_source.*")):
        target = source.with_name(source.name.replace("_source.", "_target."))
        if target.is_file():
            matched.append((source, target))
    return matched


def compare(clean: Tensor, damaged: Tensor, network: Restorer, undamaged: bool = False) -> Row:
    """PSNR and SSIM of crops, (B, 3, H, W) in [0, 1]: damaged, restored, and of the best baseline."""
    pages = [images.from_tensor(image[None]) for image in damaged]
    truth = torch.cat([images.to_tensor(images.from_tensor(image[None])) for image in clean])
    results = []
    for page in pages:
        changed = change(page, network, Options())
        results.append([finish(images.Picture(page), changed, Options(gate=on)) for on in (False, True)])
    restored, gated = (
        torch.cat([images.to_tensor(both[on].picture.rgb) for both in results]) for on in (0, 1)
    )
    before = torch.cat([images.to_tensor(page) for page in pages])
    best, best_ssim, names = [], [], []
    for index, page in enumerate(pages):
        baselines = {name: images.to_tensor(method(page)) for name, method in BASELINES.items()}
        scores = {n: metrics.psnr(image, truth[index : index + 1]).item() for n, image in baselines.items()}
        name = max(scores, key=lambda n: scores[n])
        names.append(name)
        best.append(scores[name])
        best_ssim.append(metrics.ssim(baselines[name], truth[index : index + 1]).item())
    row = {
        "psnr_damaged": metrics.psnr(before, truth).mean().item(),
        "psnr_restored": metrics.psnr(restored, truth).mean().item(),
        "psnr_gated": metrics.psnr(gated, truth).mean().item(),
        "psnr_classical": float(np.mean(best)),
        "ssim_damaged": metrics.ssim(before, truth).mean().item(),
        "ssim_restored": metrics.ssim(restored, truth).mean().item(),
        "ssim_classical": float(np.mean(best_ssim)),
        "accepted_by_gate": float(np.mean([gated.verdict.accepted for _, gated in results])),
    }
    if undamaged:
        sharpness = metrics.sharpness(restored) / metrics.sharpness(truth).clamp(min=1e-6)
        row["sharpness_kept"] = sharpness.mean().item()
        row["kept_by_gate"] = 1 - row["accepted_by_gate"]
    return {name: round(value, 4) for name, value in row.items()} | {"classical": names}
