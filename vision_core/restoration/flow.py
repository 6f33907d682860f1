"""Damages, restores and compares a clean page, step by step in pictures."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from vision_core.files import write_json
from vision_core.pictures import images
from vision_core.pictures.images import Picture
from vision_core.restoration import metrics
from vision_core.restoration.degrade import Recipe, degrade
from vision_core.restoration.networks import Restorer
from vision_core.restoration.restore import Options, difference, restore, uncertainty


def flow(picture: Picture, network: Restorer, recipe: Recipe, out: Path) -> Iterator[tuple[str, Path]]:
    """Damage a clean page, restore it and compare; yields titles and files as they are written to `out`.

    Writes six pictures (clean, damaged, restored, difference, uncertainty, comparison with metrics),
    recipe.json and figures.json.
    """
    clean = picture.rgb
    damaged = images.from_tensor(degrade(images.to_tensor(clean), [recipe]))
    restored = restore(picture.with_rgb(damaged), network, Options(gate=False)).restored
    changed = heat(difference(damaged, restored))
    figures = {"damaged": _figures(damaged, clean), "restored": _figures(restored, clean)}
    steps = {
        "1_clean_original": clean,
        "2_degraded_input": damaged,
        "3_restored_output": restored,
        "4_difference": changed,
        "5_uncertainty": heat(uncertainty(damaged, network), 16),
        "6_comparison": comparison(clean, damaged, restored, changed, figures),
    }
    write_json(out / "recipe.json", recipe)
    write_json(out / "figures.json", figures)
    for name, rgb in steps.items():
        path = out / f"{name}.png"
        images.save(Picture(rgb), path)
        yield name[2:].replace("_", " "), path


def heat(values: np.ndarray, most: int = 128) -> np.ndarray:
    """Heat map, uint8 (H, W) -> (H, W, 3): from black at 0 over red to yellow at `most`."""
    share = np.minimum(values.astype(np.float32) / most, 1)[..., None]
    rgb = np.concatenate([np.minimum(2 * share, 1), np.maximum(2 * share - 1, 0), 0 * share], 2)
    return (rgb * 255).round().astype(np.uint8)


def comparison(
    clean: np.ndarray,
    damaged: np.ndarray,
    restored: np.ndarray,
    changed: np.ndarray,
    figures: dict[str, dict[str, float]],
) -> np.ndarray:
    """A titled grid of the clean, the damaged and the restored page and their difference."""
    titles = {
        "clean": clean,
        f"damaged: {_text(figures['damaged'])}": damaged,
        f"restored: {_text(figures['restored'])}": restored,
        "changed by restoring": changed,
    }
    height, width, _ = clean.shape
    size = max(12, width // 32)
    sheet = Image.new("RGB", (2 * width, 2 * (height + 2 * size)), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(size)
    for index, (title, rgb) in enumerate(titles.items()):
        x, y = index % 2 * width, index // 2 * (height + 2 * size)
        pen.text((x + size // 2, y + size // 3), title, "black", font)
        sheet.paste(Image.fromarray(rgb), (x, y + 2 * size))
    return np.array(sheet)


def _figures(rgb: np.ndarray, clean: np.ndarray) -> dict[str, float]:
    pair = images.to_tensor(rgb), images.to_tensor(clean)
    figures = {name: getattr(metrics, name)(*pair).item() for name in ("psnr", "ssim", "mae", "mse")}
    return {name: round(value, 5) for name, value in figures.items()}


def _text(figures: dict[str, float]) -> str:
    return f"PSNR {figures['psnr']:.1f} dB, SSIM {figures['ssim']:.3f}, L1 {figures['mae']:.4f}"
