"""The protocol of painters, with its two kinds: classical filling and diffusion models."""

from collections.abc import Callable, Generator, Iterator
from typing import Any, Protocol

import cv2
import numpy as np

from vision_core.editing import compose, masks
from vision_core.editing.fill import coarse, denoise, filler, patches
from vision_core.editing.fill.filler import Filler
from vision_core.editing.fill.push_pull import fill
from vision_core.events import Event, Preview

GUIDANCE = {"tiny": 3.0, "diffusers": 7.5}  # docs/editing-models.md; diffusers' own
THIN = 10.0  # holes are thin up to this maximum distance to the rim, in pixels

SPECKS = 1.6  # thin holes up to this mean depth, in pixels, are single pixels instead of strokes
MOST_THIN = 300_000  # pixels of a thin hole: filling 70,000 biharmonically takes 1.2 s


class Painter(Protocol):
    """Fills a hole with new content.

    `name` is written to recipes; `takes_text` is whether it uses the prompt; `side` is the side of the square
    that it paints best, in pixels, or None for any size; `whole` is whether it was trained on whole pictures
    only, so that objects must have their size in these; `options` are its settings.
    """

    @property
    def name(self) -> str: ...

    @property
    def takes_text(self) -> bool: ...

    @property
    def side(self) -> int | None: ...

    @property
    def whole(self) -> bool: ...

    @property
    def options(self) -> dict[str, Any]: ...

    def paint(
        self, rgb: np.ndarray, hole: np.ndarray, prompt: str, seed: int = 0, strength: float = 1.0
    ) -> Generator[Event, None, np.ndarray]:
        """Yield steps and previews, return uint8 (H, W, 3) of the same size; the same input, the same output.

        Args:
            rgb: uint8 (H, W, 3).
            hole: bool (H, W), True where to paint.
            strength: share of the present content that is discarded, above 0 to 1.
        """
        ...


class Classical:
    """Continues the picture into the hole: wide parts by patches of itself, thin ones by a network.

    Args:
        network: None is the one of this release; a copy without it fills thin parts by a denoiser's prior.
        version: which of `patches.VERSIONS`.
        avoid: of a picture, uint8 (H, W, 3), and its hole, bool (H, W), the things that wide parts may not be
            filled with, bool (H, W).
    """

    name, takes_text, side, whole = "classical", False, None, False

    def __init__(
        self,
        network: Filler | None = None,
        version: int = 0,
        avoid: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None,
    ) -> None:
        self.network, self.version, self.avoid = network, version, avoid

    @property
    def options(self) -> dict[str, Any]:
        return {"version": self.version}

    def paint(
        self, rgb: np.ndarray, hole: np.ndarray, prompt: str = "", seed: int = 0, strength: float = 1.0
    ) -> Generator[Event, None, np.ndarray]:
        thin, wide = split(hole)
        result, unknown, things = rgb, hole.copy(), None
        for where in wide:  # each with its own surroundings, to avoid searching the whole picture
            if things is None and self.avoid is not None:
                things = self.avoid(rgb, hole)
            around = compose.window(where, padding=1.0, least=192).slices
            if not patches.roomy(unknown[around]):
                around = (slice(None), slice(None))
            avoid = None if things is None else things[around]
            parts = result[around], unknown[around]
            guide = coarse.guide(*parts) if patches.VERSIONS[self.version].guided else None
            filled = patches.fill(*parts, seed, self.version, avoid, guide)
            result = result.copy()
            result[around] = np.where(where[around][..., None], filled, result[around])
            unknown &= ~where
            yield Preview("filling", result)
        if thin.any():
            result = yield from _thin(result, thin, self.network)
        return result


def _thin(rgb: np.ndarray, hole: np.ndarray, network: Filler | None) -> Generator[Event, None, np.ndarray]:
    if filler.affordable(hole) and (network := network or filler.shipped()) is not None:
        return (yield from filler.fill(network, rgb, hole))
    return (yield from _smooth(rgb, hole))


def _smooth(rgb: np.ndarray, hole: np.ndarray) -> Generator[Event, None, np.ndarray]:
    """Thin parts filled smoothly and then, if that takes no longer than a minute, by a denoiser's prior."""
    plain = fill(rgb, hole)
    if hole.sum() > MOST_THIN or hole.all():
        return plain
    from skimage.restoration import inpaint_biharmonic

    filled = (inpaint_biharmonic(rgb, hole, channel_axis=-1).clip(0, 1) * 255).round().astype(np.uint8)
    if denoise.affordable(hole):
        start = ((filled.astype(np.uint16) + plain + 1) // 2).astype(np.uint8)
        return (yield from denoise.fill(rgb, hole, start))
    lost = (
        masks.depth(hole, border=False)[hole].mean() <= SPECKS
    )  # biharmonic is better for pixels, push-pull for strokes
    return np.where(hole[..., None], filled if lost else plain, rgb)


def split(hole: np.ndarray) -> tuple[np.ndarray, Iterator[np.ndarray]]:
    """Split a hole into one mask of all thin parts, and one mask for each wide part, lazily.

    A part is thin if at most half of it lies within `THIN` pixels of places that are deeper than `THIN`:
    crossing strokes are deep at their crossing, but still thin.
    """
    count, labels = cv2.connectedComponents(hole.astype(np.uint8), connectivity=8)
    deep = masks.depth(hole, border=False) > THIN
    near = hole & masks.grow(deep, THIN)
    share = np.bincount(labels[near], minlength=count) / np.maximum(
        1, np.bincount(labels[hole], minlength=count)
    )
    # lazily: a mask of thousands of blobs would need memory for as many pictures
    wide = (labels == number for number in range(1, count) if share[number] > 0.5)
    return hole & ~np.isin(labels, np.flatnonzero(share > 0.5)), wide
