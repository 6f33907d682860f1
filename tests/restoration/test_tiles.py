import numpy as np
import pytest
import torch
from torch.nn import functional as F

from vision_core.restoration import tiles
from vision_core.restoration.tiles import OVERLAP, Grid, _cuts, plan, process

SIZES = [(1, 1), (1, 700), (15, 17), (16, 16), (100, 33), (576, 576), (577, 200), (640, 1201), (333, 899)]


def grid(height, width, tile):
    return Grid(tile, tile, _cuts(height, tile), _cuts(width, tile), 3)


@pytest.mark.parametrize("size", SIZES)
def test_a_network_that_changes_nothing_gives_the_page_back(size):
    page = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    for cut in (plan(*size, 16, False, 400), plan(*size, 16, False, 400, memory=24), grid(*size, 128)):
        assert np.array_equal(process(page, cut, lambda x: x), page)


@pytest.mark.parametrize("tile", [112, 128, 256])
def test_every_pixel_is_covered_and_weights_add_up_to_one(tile):
    for size in range(1, 1200, 7):
        total = torch.zeros(max(size, tile))
        for start, weights in _cuts(size, tile):
            assert start + tile <= max(size, tile) and weights.min() >= 0
            total[start : start + tile] += weights
        assert torch.allclose(total[:size], torch.ones(size), atol=1e-6)


def test_tiles_leave_no_seams():
    """A blur that sees 12 pixels far, in tiles, is the blur of the whole page."""
    page = np.random.default_rng(0).integers(0, 256, (300, 410, 3), np.uint8)

    def blur(x):
        return F.avg_pool2d(F.pad(x, (12,) * 4, "reflect"), 25, 1)

    whole = blur(torch.from_numpy(page).permute(2, 0, 1)[None] / 255)[0]
    result = process(page, grid(300, 410, 128), blur) / 255
    inner = np.abs(result.transpose(2, 0, 1) - whole.numpy())
    assert inner.max() < 0.02 and inner.mean() < 0.002


def test_less_memory_means_smaller_tiles_and_too_little_is_said():
    large, small = (plan(2000, 1500, 16, False, 400, memory=m) for m in (1024, 64))
    assert small.height < large.height <= tiles.LARGEST + 16 and small.batch >= 1
    with pytest.raises(ValueError, match=r"1500 x 2000 pixels need \d+ MB, and 20 MB are allowed"):
        plan(2000, 1500, 16, False, 400, memory=20)


def test_tiles_of_a_fixed_size_cover_smaller_pages():
    cut = plan(100, 300, 256, True, 400)
    assert (cut.height, cut.width, cut.tiles) == (256, 256, 2) and OVERLAP < 256


def test_the_embedded_network_leaves_no_seams_and_fits_its_limit():
    """A page cut into other tiles is restored to nearly the same."""
    from vision_core.restoration import PageRestorer, load, metrics, pages
    from vision_core.restoration.thumbnail import thumbnail
    from vision_core.weights import find

    assert find("restoration").stat().st_size < 25e6
    network, facts = load()
    assert isinstance(network, PageRestorer)
    page = pages.page(2, width=288, height=224).pixels.permute(1, 2, 0).contiguous().numpy()

    statistics = torch.from_numpy(thumbnail(page))[None]

    @torch.inference_mode()
    def run(x):
        return network.detail(x, statistics.expand(len(x), -1, -1, -1))[0]

    large, small = (process(page, grid(224, 288, tile), run) for tile in (288, 160))
    a, b = (torch.from_numpy(x).permute(2, 0, 1)[None] / 255 for x in (large, small))
    assert facts["licence"] == "Apache-2.0" and not np.array_equal(large, page)
    assert metrics.psnr(a, b) > 30
