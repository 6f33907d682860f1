"""Interprets pictures as masks."""

import cv2
import numpy as np

from vision_core.pictures.picture import Picture


def strength(picture: Picture) -> np.ndarray:
    """Strength of a picture used as a mask, uint8 (H, W): its brightness, at most its opacity.

    Colours on black count as white, and so does the lighter of two dark levels, such as the labels 0 and 1. A
    picture that is transparent in places, and elsewhere not black and white, is a painted layer or a cut-out:
    its strength is its opacity.

    Raises:
        ValueError: the picture is ambiguous: colours that are not on black, as in a photograph, or several
            dark levels and nothing lighter.
    """
    light = picture.rgb.max(2)
    if picture.wide is not None and not light.any():  # labels such as 0 and 1 of 65,535
        light = np.minimum(picture.wide[..., :3].max(2), 255).astype(np.uint8)
    if picture.alpha is None:
        _refuse_colors(picture.rgb, light)
        return _without_labels(light)
    opaque = picture.alpha >= 128
    if not opaque.all():
        levels = np.bincount(light[opaque], minlength=256)
        black, white = levels[:16].sum(), levels[240:].sum()
        if not (black and white and black + white > 0.98 * levels.sum()):
            return picture.alpha
    return cv2.multiply(_without_labels(light), picture.alpha, scale=1 / 255)


def _without_labels(light: np.ndarray) -> np.ndarray:
    """`light`, with 255 for the lighter one of two dark levels."""
    lightest = int(light.max())
    if lightest >= 128 or not lightest:
        return light
    if ((light > 0) & (light < lightest)).any():
        raise ValueError(
            f"the mask is nowhere lighter than {lightest} of 255, and marks from 128 on: "
            "save it in black and white"
        )
    return (light > 0).astype(np.uint8) * 255


def _refuse_colors(rgb: np.ndarray, light: np.ndarray) -> None:
    """Raise `ValueError` for colours beside white, which leave open what is marked, and for a photograph."""
    dark = rgb.min(2)
    if (light - dark > 64).mean() < 1e-3:
        return
    if (dark > 232).mean() > 1e-3:
        raise ValueError("the mask has white and other colours: save it in black and white, white marks")
    coarse = np.bincount(((rgb >> 4).astype(np.uint16) @ np.array([256, 16, 1], np.uint16)).ravel())
    if np.sort(coarse)[-16:].sum() < 0.9 * light.size:
        raise ValueError("the mask is a picture in many colours: save it in black and white, white marks")
