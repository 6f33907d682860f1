import numpy as np
import pytest
import torch

from vision_core import devices
from vision_core.pictures import images
from vision_core.pictures.images import Picture
from vision_core.restoration import data, pages


def test_a_seed_draws_the_same_page_again():
    first, again, other = (pages.page(n, width=96, height=128) for n in (3, 3, 4))
    assert first.pixels.shape == (3, 128, 96) and first.pixels.dtype == torch.uint8
    assert torch.equal(first.pixels, again.pixels) and not torch.equal(first.pixels, other.pixels)


def test_every_hand_writes_dark_ink_on_light_paper():
    hands = {}
    for number in range(40):
        page = pages.page(number, width=200, height=160)
        hands[page.manuscript.split("/")[1]] = page.pixels.float().mean(0)
    assert hands.keys() == pages.HANDS.keys()
    for luma in hands.values():
        assert luma.quantile(0.9) > 150 and luma.quantile(0.01) < 0.6 * luma.quantile(0.9)


def test_crops_are_full_of_writing():
    for number in range(6):
        crop = pages.crop(number, 96)
        assert crop.shape == (3, 96, 96) and 0 <= crop.min() and crop.max() <= 1
        assert crop.mean(0).std() > 0.03


def test_pages_are_read_and_held_out_by_manuscript(tmp_path):
    for name in ("a__f1", "a__f2", "b__f1", "b__f9", "c__f2"):
        images.save(Picture(np.zeros((8, 8, 3), np.uint8)), tmp_path / "library" / f"{name}.png")
    pages_read = data.read(tmp_path)
    train, held_out = data.split(pages_read)
    assert len(train) + len(held_out) == 5 and train and held_out
    assert not {p.manuscript for p in train} & {p.manuscript for p in held_out}
    assert {p.manuscript for p in pages_read} == {"library/a", "library/b", "library/c"}
    with pytest.raises(ValueError, match="two manuscripts"):
        data.split(pages_read[:2])
    with pytest.raises(ValueError, match="no images in the folder"):
        data.read(tmp_path / "library" / "..").clear() or data.read(_empty(tmp_path))
    with pytest.raises(ValueError, match="no folder"):
        data.read(tmp_path / "missing")


def _empty(folder):
    (folder / "empty").mkdir()
    return folder / "empty"


def test_crops_are_parts_of_the_page_mirrored_where_it_ends(page):
    source = data.Page("p", page)
    crop = data.crop(source, 32, devices.generator(0))
    windows = (page.float() / 255).unfold(1, 32, 1).unfold(2, 32, 1)  # (3, 97, 65, 32, 32)
    assert ((windows - crop[:, None, None]).abs().amax((0, 3, 4)) < 1e-6).any()
    small = data.crop(data.Page("p", page[:, :10, :20]), 48, devices.generator(0))
    assert torch.equal(small[:, :10, :20], page[:, :10, :20].float() / 255)
    assert torch.equal(small[:, 10:20, :20], page[:, :10, :20].flip(1).float() / 255)


def test_a_smaller_scale_shows_more_of_the_page(page):
    half = data.crop(data.Page("p", page[:, :96]), 48, devices.generator(0), scale=0.5)
    whole = page[:, :96].float() / 255
    assert torch.allclose(half.mean((1, 2)), whole.mean((1, 2)), atol=0.01)
