"""A trained colour map: the network and its palette, usable as a function, a LUT and a file."""

import base64
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vision_core import checkpoints
from vision_core.color import lut
from vision_core.color.network import ColorMapper
from vision_core.color.objective import Settings
from vision_core.color.palette import CountedColors, Palette, count_colors, shares
from vision_core.pictures.images import Picture
from vision_core.safety import bounds
from vision_core.safety.messages import reason
from vision_core.settings import from_plain

NODES = 65  # with 33, the LUT of a steep map is off by more than 2/255
UNSEEN_WARNING = 0.05  # warn if more than this share of the pixels has unseen colours
_SEEN_BITS = 4  # training colours are recorded in 16 x 16 x 16 bins: 512 bytes


@dataclass(frozen=True, eq=False)
class ColorMap:
    """A `ColorMapper`, the palette it was trained for, and its metadata (plain data)."""

    model: ColorMapper
    palette: Palette
    metadata: dict[str, Any]

    def __call__(self, colors: np.ndarray) -> np.ndarray:
        """Map sRGB colours, float32 (N, 3) in [0, 1]."""
        with torch.inference_mode():
            device = next(self.model.parameters()).device
            return (
                self.model(torch.from_numpy(np.ascontiguousarray(colors, np.float32)).to(device))
                .cpu()
                .numpy()
            )

    def recolor_colors(self, colors: np.ndarray) -> np.ndarray:
        """Map colours, uint8 (N, 3), with the network itself instead of a LUT."""
        return np.rint(self(colors.astype(np.float32) / 255) * 255).astype(np.uint8)

    def preview(self, rgb: np.ndarray) -> np.ndarray:
        """Recolour a small picture, uint8 (H, W, 3), with a coarse LUT, as a preview during training."""
        return lut.apply(self.lut(17), rgb)

    def lut(self, size: int = NODES, colors: np.ndarray | None = None) -> np.ndarray:
        """The map as a LUT, float32 (size, size, size, 3) indexed [b, g, r]; see `lut.bake`."""
        return lut.bake(self, size, colors)

    def used_shares(self, rgb: np.ndarray) -> np.ndarray:
        """Share (K,) of the pixels of `rgb`, uint8 (H, W, 3), mapped closest to each palette colour."""
        counted = count_colors(rgb)
        return shares(self.palette.colors, CountedColors(self.recolor_colors(counted.colors), counted.counts))

    def sample_colors(self, per_box: int = 16) -> np.ndarray:
        """Random colours, uint8 (N, 3), from the bins of the training colours; deterministic."""
        size = 256 >> _SEEN_BITS
        boxes = np.repeat(np.flatnonzero(_unpack(self.metadata["source_colors"])), per_box)
        high = np.stack([boxes >> 2 * _SEEN_BITS, boxes >> _SEEN_BITS, boxes], 1) % (1 << _SEEN_BITS)
        return (high * size + np.random.default_rng(0).integers(0, size, high.shape)).astype(np.uint8)

    def unseen(self, counted: CountedColors) -> float:
        """Share of the pixels whose colours are not in the bins of the training colours."""
        seen = np.unpackbits(
            np.frombuffer(base64.b64decode(self.metadata["source_colors"]), np.uint8)
        ).astype(bool)
        return float(counted.counts[~seen[_boxes(counted.colors)]].sum() / counted.counts.sum())

    def warnings(self, picture: Picture) -> tuple[str, ...]:
        """Warnings about applying the map to a picture; empty if its colours were seen in training."""
        unseen = self.unseen(count_colors(picture.visible))
        if unseen <= UNSEEN_WARNING:
            return ()
        return (
            f"{unseen:.0%} of the pixels have colours that the model was not trained on: expect artefacts",
        )


def seen_colors(counted: CountedColors) -> str:
    """The occupied bins of the colour cube, as base64 with one bit per bin."""
    seen = np.zeros(1 << 3 * _SEEN_BITS, bool)
    seen[_boxes(counted.colors)] = True
    return base64.b64encode(np.packbits(seen).tobytes()).decode()


def save(color_map: ColorMap, path: str | Path) -> None:
    """Write a `.safetensors` or `.pth` file, atomically."""
    checkpoints.save(path, color_map.model, color_map.metadata)


def load(path: str | Path) -> ColorMap:
    """Read a file written by `save`; raises `ValueError` if anything is wrong with it."""
    return _checked(*checkpoints.load(path, ColorMapper), str(path))


def to_arrays(path: str | Path) -> dict[str, Any]:
    """Load a model as plain data and arrays, to be sent to another process."""
    loaded = load(path)
    state = {name: value.numpy() for name, value in loaded.model.state_dict().items()}
    return {"architecture": loaded.model.architecture, "state": state, "metadata": loaded.metadata}


def from_arrays(data: dict[str, Any]) -> ColorMap:
    """Rebuild a model from the output of `to_arrays`, validating it again.

    Raises:
        ValueError: the data is not a valid model.
    """
    try:
        bounds.check(data["architecture"], ColorMapper.bounds)
        model = ColorMapper(**data["architecture"])
        model.load_state_dict({name: torch.from_numpy(value) for name, value in data["state"].items()})
    except (KeyError, TypeError, RuntimeError) as error:
        raise ValueError(f"the model is damaged: {reason(error)}") from error
    return _checked(model.eval(), data["metadata"], "the model")


def _checked(model: ColorMapper, metadata: dict[str, Any], name: str) -> ColorMap:
    try:
        weights = np.array(metadata["shares"], np.float64)
        with np.errstate(all="ignore"):  # `Palette` rejects the NaN of shares that are all 0
            palette = Palette(np.array(metadata["palette"], np.uint8), weights / weights.sum())
        if len(_unpack(metadata["source_colors"])) != 1 << 3 * _SEEN_BITS:
            raise ValueError("source_colors has another size")
        from_plain(Settings, metadata["settings"])
        if not isinstance(metadata.get("fine_tuned_epochs", 0), int):
            raise ValueError("fine_tuned_epochs is not a number")
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{name} has no valid palette, colours and settings: {reason(error)}") from error
    return ColorMap(model, palette, metadata)


def _unpack(text: str) -> np.ndarray:
    return np.unpackbits(np.frombuffer(base64.b64decode(text), np.uint8)).astype(bool)


def _boxes(colors: np.ndarray) -> np.ndarray:
    high = (colors >> 8 - _SEEN_BITS).astype(np.int64)
    return (high[:, 0] << 2 * _SEEN_BITS) | (high[:, 1] << _SEEN_BITS) | high[:, 2]
