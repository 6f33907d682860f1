"""Tests of LUT pictures: every layout is read, everything else is rejected."""

import cv2
import numpy as np
import pytest
from PIL import Image
from skimage import data

from vision_core.color import lut as luts
from vision_core.color import lut_files


def dusk(colors: np.ndarray) -> np.ndarray:
    red, green, blue = colors.T
    return np.stack([0.95 * red**1.2, green * (0.6 + 0.3 * blue), 0.15 + 0.8 * blue - 0.1 * red * blue], 1)


def laid_out(grid: np.ndarray, columns: int) -> np.ndarray:
    """Tiles pixel by pixel, as a shader looks them up: (N * N / columns, columns * N, 3)."""
    size = len(grid)
    picture = np.zeros((size * (size // columns), size * columns, 3), grid.dtype)
    for blue in range(size):
        y, x = divmod(blue, columns)
        for green in range(size):
            picture[y * size + green, x * size : (x + 1) * size] = grid[blue, green]
    return picture


def saved(path, values: np.ndarray) -> None:
    """By OpenCV, 8 or 16 bits a channel; (H, W, 3) RGB or (H, W) grey."""
    assert cv2.imwrite(str(path), values if values.ndim == 2 else np.ascontiguousarray(values[..., ::-1]))


@pytest.mark.parametrize(
    ("size", "columns"), [(64, 8), (16, 4), (16, 16), (32, 32), (32, 1), (33, 33), (32, 8)]
)
@pytest.mark.parametrize("look", [None, dusk])
def test_tiles_and_strips(tmp_path, size, columns, look):
    grid = luts.identity(size) if look is None else luts.bake(look, size)
    saved(tmp_path / "x.png", np.rint(laid_out(grid, columns) * 255).astype(np.uint8))
    assert np.abs(lut_files.read(tmp_path / "x.png") - grid).max() < 0.51 / 255


@pytest.mark.parametrize("turn", [np.flipud, np.fliplr, lambda p: p[..., ::-1], lambda p: p.swapaxes(0, 1)])
@pytest.mark.parametrize("columns", [8, 64])
def test_tiles_in_another_order_are_never_scrambled(tmp_path, turn, columns):
    picture = turn(laid_out(luts.identity(64), columns))
    saved(tmp_path / "x.png", np.rint(picture * 255).astype(np.uint8))
    with pytest.raises(ValueError, match=r"red to the right|jump from node to node"):
        lut_files.read(tmp_path / "x.png")


@pytest.mark.parametrize("level", [3, 4, 8])
@pytest.mark.parametrize("look", [dusk, lambda c: 1 - c, lambda c: c[:, [2, 0, 1]], lambda c: c * 0 + 0.3])
def test_halds_of_every_level_in_eight_and_sixteen_bits(tmp_path, level, look):
    grid = luts.bake(look, level**2)
    for bits, dtype in ((8, np.uint8), (16, np.uint16)):
        white = 2**bits - 1
        saved(tmp_path / "x.png", np.rint(grid.reshape(level**3, level**3, 3) * white).astype(dtype))
        assert np.abs(lut_files.read(tmp_path / "x.png") - grid).max() < 0.51 / white


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_grey_halds(tmp_path, dtype):
    white = np.iinfo(dtype).max
    grey = luts.identity(16) @ np.array([0.3, 0.6, 0.1], np.float32)
    saved(tmp_path / "x.png", np.rint(grey.reshape(64, 64) * white).astype(dtype))
    assert np.abs(lut_files.read(tmp_path / "x.png") - grey[..., None]).max() < 0.51 / white


def test_what_is_no_lut_is_refused(tmp_path):
    photo = data.astronaut()
    for name, picture in (
        ("photo", photo),
        ("small", cv2.resize(photo, (64, 64), interpolation=cv2.INTER_AREA)),
    ):
        saved(tmp_path / f"{name}.png", picture)
        with pytest.raises(ValueError, match="jump from node to node"):
            lut_files.read(tmp_path / f"{name}.png")
    saved(tmp_path / "size.png", photo[:511])
    with pytest.raises(ValueError, match="512 x 511 is not the size of a LUT"):
        lut_files.read(tmp_path / "size.png")
    neutral = np.rint(luts.identity(16).reshape(64, 64, 3) * 255).astype(np.uint8)
    image = Image.fromarray(neutral).convert("RGBA")
    image.putpixel((5, 5), (1, 2, 3, 0))
    image.save(tmp_path / "clear.png")
    with pytest.raises(ValueError, match="transparent"):
        lut_files.read(tmp_path / "clear.png")
