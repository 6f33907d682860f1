"""The measured tables: damage by kind and severity, undamaged pages, real damaged pages with ink masks."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vision_core import devices, images
from vision_core.restoration import data, metrics
from vision_core.restoration.classical import BASELINES, grey
from vision_core.restoration.degrade import KINDS, SEVERITIES, degrade, draw, draw_mixture
from vision_core.restoration.networks import Restorer
from vision_core.restoration.restore import Options, restore

Row = dict[str, Any]


def evaluate(
    pages: list[data.Page], network: Restorer, crops: int = 2, seed: int = 0, side: int = 256
) -> Iterator[Row]:
    """One row for each kind and severity, for mixtures at each severity, and for undamaged crops.

    Rows have PSNR (dB) and SSIM, means over `crops` crops of `side` pixels, of the damaged and the restored
    crop and of the best of the classical baselines for that crop, chosen by PSNR with the clean crop in hand.
    The gate is off; undamaged crops also tell how much sharpness is left and how many the gate keeps.
    """
    drawn = devices.generator(seed, 1)
    number = 0
    for kind in (*KINDS, "mixture", "undamaged"):
        for severity in SEVERITIES:
            picks = torch.randint(len(pages), (crops,), generator=drawn).tolist()
            clean = torch.stack([data.crop(pages[pick], side, drawn) for pick in picks])
            recipes = []
            for _ in range(crops):
                number += 1
                kinds = (kind,) if kind in KINDS else ()
                mixed = kind == "mixture"
                recipes.append(draw_mixture(number, severity) if mixed else draw(number, kinds, severity))
            damaged = degrade(clean, recipes, clean.roll(1, 0))
            yield {"kind": kind, "severity": severity} | compare(clean, damaged, network, kind == "undamaged")


def summary(rows: list[Row]) -> dict[str, float]:
    """The figures of the targets: mean gains in dB over all kinds and severities, and undamaged pages."""
    single = [row for row in rows if row["kind"] in KINDS]
    mixed = [row for row in rows if row["kind"] == "mixture"]
    whole = [row for row in rows if row["kind"] == "undamaged"]

    def mean(rows: list[Row], name: str, less: str | None = None) -> float:
        return round(float(np.mean([r[name] - (r[less] if less else 0) for r in rows])), 3)

    return {
        "gain": mean(single, "psnr_restored", "psnr_damaged"),
        "gain_over_classical": mean(single, "psnr_restored", "psnr_classical"),
        "mixture_gain": mean(mixed, "psnr_restored", "psnr_damaged"),
        "mixture_gain_over_classical": mean(mixed, "psnr_restored", "psnr_classical"),
        "undamaged_psnr": mean(whole, "psnr_restored"),
        "undamaged_sharpness": mean(whole, "sharpness_kept"),
        "undamaged_kept_by_gate": mean(whole, "kept_by_gate"),
    }


def otsu_f_measure(rgb: np.ndarray, ink: np.ndarray) -> float:
    """F-measure (%) of Otsu's threshold of a page, uint8 (H, W, 3), against its ink, bool (H, W)."""
    from skimage.filters import threshold_otsu

    luma = grey(rgb)[..., 0]
    found = luma <= threshold_otsu(luma) if luma.min() < luma.max() else np.zeros_like(ink)
    right = float((found & ink).sum())
    return 200 * right / max(1.0, float(found.sum() + ink.sum()))


def evaluate_pairs(folder: Path, network: Restorer, options: Options | None = None) -> Iterator[Row]:
    """Real damaged pages NAME_source.* with their ink NAME_target.*: Otsu's F-measure before and after.

    Raises:
        ValueError: no pairs in the folder, or a pair of different sizes.
    """
    sources = pairs(folder)
    if not sources:
        raise ValueError(f"{folder} holds no pairs NAME_source.png and NAME_target.png")
    for source, target in sources:
        page, mask = images.read(source), images.read(target)
        if page.rgb.shape != mask.rgb.shape:
            raise ValueError(f"{source} and {target} differ in size")
        ink = mask.rgb[..., 0] < 128
        result = restore(page, network, options)
        before, after = otsu_f_measure(page.rgb, ink), otsu_f_measure(result.picture.rgb, ink)
        yield {
            "page": source.stem.removesuffix("_source"),
            "raw": round(before, 2),
            "restored": round(after, 2),
            "accepted": result.verdict.accepted,
        }


def pairs(folder: Path) -> list[tuple[Path, Path]]:
    """Files NAME_source.* of a folder, each with its NAME_target.*."""
    found = []
    for source in sorted(folder.glob("*_source.*")):
        target = source.with_name(source.name.replace("_source.", "_target."))
        if target.is_file():
            found.append((source, target))
    return found


def compare(clean: Tensor, damaged: Tensor, network: Restorer, undamaged: bool = False) -> Row:
    """PSNR and SSIM of crops, (B, 3, H, W) in [0, 1]: damaged, restored, and by the best baseline."""
    pages = [images.from_tensor(image[None]) for image in damaged]
    truth = torch.cat([images.to_tensor(images.from_tensor(image[None])) for image in clean])
    results = [restore(images.Picture(page), network, Options(gate=False, scale=1)) for page in pages]
    restored = torch.cat([images.to_tensor(result.restored) for result in results])
    before = torch.cat([images.to_tensor(page) for page in pages])
    best, best_ssim, names = [], [], []
    for index, page in enumerate(pages):
        tried = {name: images.to_tensor(method(page)) for name, method in BASELINES.items()}
        scores = {n: metrics.psnr(image, truth[index : index + 1]).item() for n, image in tried.items()}
        name = max(scores, key=lambda n: scores[n])
        names.append(name)
        best.append(scores[name])
        best_ssim.append(metrics.ssim(tried[name], truth[index : index + 1]).item())
    row = {
        "psnr_damaged": metrics.psnr(before, truth).mean().item(),
        "psnr_restored": metrics.psnr(restored, truth).mean().item(),
        "psnr_classical": float(np.mean(best)),
        "ssim_damaged": metrics.ssim(before, truth).mean().item(),
        "ssim_restored": metrics.ssim(restored, truth).mean().item(),
        "ssim_classical": float(np.mean(best_ssim)),
        "accepted_by_gate": float(np.mean([result.verdict.accepted for result in results])),
    }
    if undamaged:
        kept = metrics.sharpness(restored) / metrics.sharpness(truth).clamp(min=1e-6)
        row["sharpness_kept"] = kept.mean().item()
        row["kept_by_gate"] = 1 - row["accepted_by_gate"]
    return {name: round(value, 4) for name, value in row.items()} | {"classical": names}
