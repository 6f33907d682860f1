import subprocess
import sys
from contextlib import suppress

import numpy as np
import pytest
from PIL import Image

from vision_core import digits
from vision_core.digits import paper
from vision_core.digits.classify import normalise
from vision_core.pictures.images import Picture

FEW = 20  # digits, of different hands: enough for what holds for each


def as_photo(image, scale=9, shift=(40, 5), sheet=230, ink=30):
    """A test digit as dark ink on a light sheet, larger and off its centre: Picture (400, 500)."""
    large = Image.fromarray(image).resize((28 * scale, 28 * scale), Image.Resampling.BICUBIC)
    share = np.zeros((400, 500))
    share[shift[0] : shift[0] + 28 * scale, shift[1] : shift[1] + 28 * scale] = np.asarray(large) / 255
    grey = np.rint(sheet + (ink - sheet) * share).astype(np.uint8)
    return Picture(np.repeat(grey[..., None], 3, axis=2))


def prepared(picture):
    return normalise(paper.find(picture))


@pytest.fixture(scope="module")
def test_images():
    test = digits.load().test
    return test.images[:60, 0].numpy(), test.labels[:60].numpy()


def test_large_dark_off_centre_digits_come_back_as_mnist_has_them(test_images):
    near = [
        np.abs(prepared(as_photo(image)).astype(float) - image).mean() / image.mean()
        for image in test_images[0][:FEW]
    ]
    # a third of the ink may lie elsewhere: MNIST's own box is not known to the pixel
    assert np.mean(near) < 0.35


def test_longer_side_is_20_pixels_and_the_mass_is_centred(test_images):
    for image in test_images[0][:FEW]:
        out = prepared(as_photo(image)).astype(float)
        rows, columns = np.flatnonzero(out.any(1)), np.flatnonzero(out.any(0))
        longer = max(rows[-1] - rows[0], columns[-1] - columns[0]) + 1
        assert longer in (20, 21)  # 21 where the box starts between two pixels
        y, x = (
            (out * np.arange(28)[shape]).sum() / out.sum()
            for shape in ((slice(None), None), (None, slice(None)))
        )
        assert abs(y - 14) < 0.2 and abs(x - 14) < 0.2


def test_place_changes_nothing_and_size_hardly_anything(test_images):
    image = test_images[0][0]
    first = prepared(as_photo(image))
    assert np.array_equal(first, prepared(as_photo(image, shift=(100, 200))))
    assert np.abs(prepared(as_photo(image, scale=12)).astype(int) - first).mean() < 8


def test_chalk_is_read_as_ink(test_images):
    """A digit in white on black gives the numbers of black on white, nearly always the very same."""
    photos = [as_photo(image) for image in test_images[0][:FEW]]
    pairs = [(prepared(photo), prepared(Picture(255 - photo.rgb))) for photo in photos]
    assert np.mean([np.array_equal(*pair) for pair in pairs]) >= 0.9
    assert all(np.abs(one.astype(int) - other).mean() < 8 for one, other in pairs)
    inverted = [Picture(255 - photo.rgb) for photo in photos]
    answers = [[digits.answer(digits.classify(p)) for p in some] for some in (photos, inverted)]
    assert answers[0] == answers[1]


def test_a_long_thin_picture_is_read_in_little_memory(tmp_path):
    code = (
        "import resource; from vision_core import digits; from vision_core.pictures import images\n"
        "resource.setrlimit(resource.RLIMIT_AS, (6 << 30,) * 2)\n"
        f"picture = images.read({str(tmp_path / 'line.png')!r})\n"
        "try: digits.classify(picture)\n"
        "except digits.NoDigit as error: print(error)"
    )
    line = np.full((40, 20_000), 255, np.uint8)
    line[18:22, 100:-100] = 0
    Image.fromarray(line).save(tmp_path / "line.png")
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    assert "is empty" in process.stdout  # a line of a pixel's height is no digit


@pytest.mark.parametrize("seed", range(3))
def test_noise_specks_and_odd_shapes_are_refused_or_read_and_nothing_else(seed):
    rng = np.random.default_rng(seed)
    for _ in range(25):
        height, width = (int(n) for n in rng.choice([1, 2, 7, 29, 64, 300], 2))
        grey = np.full((height, width), rng.integers(256), np.uint8)
        specks = rng.random((height, width)) < rng.choice([0, 1e-4, 1e-3, 0.02, 0.5])
        grey[specks] = rng.integers(256)
        with suppress(digits.NoDigit):
            assert abs(digits.classify(Picture(np.repeat(grey[..., None], 3, 2))).sum() - 1) < 1e-5


def test_a_few_specks_are_no_digit():
    grey = np.full((300, 300), 240, np.uint8)
    grey[150, 150:152] = 20
    with pytest.raises(digits.NoDigit):
        digits.classify(Picture(np.repeat(grey[..., None], 3, 2)))


def test_transparent_ground_is_paper(test_images):
    photo = as_photo(test_images[0][0], sheet=255, ink=0)
    cut_out = Picture(np.zeros_like(photo.rgb), alpha=255 - photo.rgb[..., 0])
    assert np.array_equal(prepared(cut_out), prepared(photo))


@pytest.mark.parametrize("value", [0, 255])
def test_empty_picture_is_no_digit(value):
    with pytest.raises(ValueError, match="the picture is empty"):
        digits.classify(Picture(np.full((50, 50, 3), value, np.uint8)))
    with pytest.raises(ValueError, match="the picture is empty"):
        digits.classify(Picture(np.full((1, 1, 3), value, np.uint8)))


def test_default_weights_read_photos_of_unseen_digits(test_images):
    right = 0
    for image, label in zip(*test_images, strict=True):
        probabilities = digits.classify(as_photo(image))
        assert probabilities.sum() == pytest.approx(1, abs=1e-5)
        right += probabilities.argmax() == label
    assert right >= 57


def test_own_weights_are_used_and_a_missing_file_is_named(trained, test_images, tmp_path):
    photo = as_photo(test_images[0][0])
    own = digits.classify(photo, trained / "final_model_weights.pth")
    assert np.abs(own - digits.classify(photo)).max() > 0.1
    with pytest.raises(ValueError, match="there is no weights file"):
        digits.classify(photo, tmp_path / "none.pth")
