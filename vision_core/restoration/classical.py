"""Classical methods: restoration baselines, and thresholds."""

from collections.abc import Callable

import numpy as np


def clahe_unsharp(rgb: np.ndarray) -> np.ndarray:
    """The original's simple enhancement: CLAHE (clip 2, 8 x 8) of the lightness, then an unsharp mask."""
    import cv2

    lab = cv2.cvtColor(rgb, cv2.COLOR_RGB2LAB)
    lab[..., 0] = cv2.createCLAHE(2.0, (8, 8)).apply(lab[..., 0])
    return sharpen(cv2.cvtColor(lab, cv2.COLOR_LAB2RGB))


def non_local_means(rgb: np.ndarray) -> np.ndarray:
    """Non-local means, uint8 (H, W, 3). Source: Buades et al. 2005, by OpenCV."""
    import cv2

    return cv2.fastNlMeansDenoisingColored(rgb, None, 5, 5, 7, 21)


def median(rgb: np.ndarray) -> np.ndarray:
    """3 x 3 median filter, which removes dead pixels."""
    import cv2

    return cv2.medianBlur(rgb, 3)


def stretch(rgb: np.ndarray) -> np.ndarray:
    """Stretch each channel from its 1st and 99th percentiles to 0 and 255, against fading and tint."""
    low, high = np.percentile(rgb, (1, 99), axis=(0, 1))
    return ((rgb - low) / np.maximum(high - low, 1) * 255).clip(0, 255).round().astype(np.uint8)


def sharpen(rgb: np.ndarray, amount: float = 0.5, sigma: float = 2.0) -> np.ndarray:
    """Unsharp mask, uint8 (H, W, 3): (1 + amount) x - amount * blurred(x)."""
    import cv2

    return cv2.addWeighted(rgb, 1 + amount, cv2.GaussianBlur(rgb, (0, 0), sigma), -amount, 0)


def sauvola(rgb: np.ndarray, window: int = 25) -> np.ndarray:
    """Binarise by a local threshold, ink black on white: uint8 (H, W, 3) -> the same.

    Source: Sauvola and Pietikäinen 2000, "Adaptive document image binarization".
    """
    luma, mean, spread = _around(rgb, window)
    return _black(luma <= mean * (1 + 0.2 * (spread / 128 - 1)))


def wolf(rgb: np.ndarray, window: int = 41) -> np.ndarray:
    """Like `sauvola`, normalised by the minimum and the strongest contrast of the page.

    Source: Wolf and Jolion 2004, "Extraction and recognition of artificial text in multimedia documents".
    """
    luma, mean, spread = _around(rgb, window)
    return _black(luma <= mean - 0.5 * (1 - spread / max(spread.max(), 1e-3)) * (mean - luma.min()))


def otsu(rgb: np.ndarray) -> np.ndarray:
    """Like `sauvola`, with one threshold for the page; a page of one colour is white.

    Source: Otsu 1979, "A Threshold Selection Method from Gray-Level Histograms".
    """
    import cv2

    luma = np.ascontiguousarray(grey(rgb)[..., 0])
    threshold, _ = cv2.threshold(luma, 0, 255, cv2.THRESH_OTSU)
    return _black((luma <= threshold) & (luma.min() < luma.max()))


def _around(rgb: np.ndarray, window: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The luma, and its mean and standard deviation in windows, float32 (H, W)."""
    import cv2

    luma = grey(rgb)[..., 0].astype(np.float32)
    mean = cv2.blur(luma, (window, window))
    return luma, mean, np.sqrt(np.maximum(cv2.blur(luma**2, (window, window)) - mean**2, 0))


def _black(ink: np.ndarray) -> np.ndarray:
    return np.repeat(np.where(ink, 0, 255).astype(np.uint8)[..., None], 3, 2)


def grey(rgb: np.ndarray) -> np.ndarray:
    """Luma in all three channels, uint8 or uint16 (H, W, 3)."""
    luma = rgb @ np.array([0.299, 0.587, 0.114])
    return np.repeat(luma.round().astype(rgb.dtype)[..., None], 3, 2)


BASELINES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "clahe_unsharp": clahe_unsharp,
    "non_local_means": non_local_means,
    "median": median,
    "stretch": stretch,
}
