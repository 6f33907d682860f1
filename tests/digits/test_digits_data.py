import gzip
import os
import shutil

import numpy as np
import pytest
import torch
from idx_files import write_idx

from vision_core import digits
from vision_core.devices import generator
from vision_core.digits.data import FILES, jitter, read_idx

TRAIN_IMAGES, TRAIN_LABELS = FILES["train"]


@pytest.fixture
def folder(tiny, tmp_path):
    """A copy of the tiny data set that a test may damage."""
    return shutil.copytree(tiny, tmp_path / "copy")


def rows(split) -> set[bytes]:
    return {image.tobytes() for image in split.images.numpy()}


def test_embedded_splits_are_fixed_and_disjoint():
    first, second = digits.load(), digits.load()
    assert [len(part) for part in (first.train, first.val, first.test)] == [8000, 1000, 1000]
    assert torch.equal(first.train.images, second.train.images)
    assert len(rows(first.train) | rows(first.val) | rows(first.test)) == 10_000
    for part in (first.train, first.val, first.test):
        assert part.labels.bincount().min() > len(part) * 0.07  # every digit, about as often


def test_embedded_digits_are_the_first_of_mnist_and_its_test_file_is_unseen(shared_data):
    images = read_idx(shared_data / "mnist" / f"{TRAIN_IMAGES}.gz", 3)
    labels = read_idx(shared_data / "mnist" / f"{TRAIN_LABELS}.gz", 1)
    embedded = digits.load()
    documented = {
        image.tobytes(): label
        for part in (embedded.train, embedded.val, embedded.test)
        for image, label in zip(part.images.numpy(), part.labels.tolist(), strict=True)
    }
    assert documented == {images[i].tobytes(): labels[i] for i in range(10_000)}
    unseen = read_idx(shared_data / "mnist" / "t10k-images-idx3-ubyte.gz", 3)
    assert not documented.keys() & {image.tobytes() for image in unseen}


def test_full_mnist_is_split_55000_5000_10000(shared_data):
    mnist = digits.load(shared_data / "mnist")
    assert [len(part) for part in (mnist.train, mnist.val, mnist.test)] == [55_000, 5_000, 10_000]
    assert not rows(mnist.train) & rows(mnist.val)


def test_torchvisions_folder_and_download_of_what_is_there(shared_data, tmp_path):
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for path in (shared_data / "mnist").glob("*.gz"):
        shutil.copyfile(path, raw / path.name)
    mnist = digits.load(tmp_path, download=True)  # torchvision checks the four sums and asks no network
    assert len(mnist.test) == 10_000


def test_zipped_or_not_is_the_same(folder):
    path = folder / f"{TRAIN_IMAGES}.gz"
    zipped = read_idx(path, 3)
    path.write_bytes(gzip.decompress(path.read_bytes()))
    assert np.array_equal(read_idx(path, 3), zipped)


def damage_gzip(folder):
    path = folder / f"{TRAIN_IMAGES}.gz"
    path.write_bytes(path.read_bytes()[:5000])


def wrong_magic(folder):
    (folder / TRAIN_LABELS).write_bytes(
        (folder / "t10k-labels-idx1-ubyte").read_bytes().replace(b"\x08\x01", b"\x08\x03", 1)
    )


def truncate(folder):
    path = folder / TRAIN_LABELS
    path.write_bytes(path.read_bytes()[:-7])


def fewer_labels(folder):
    write_idx(folder / TRAIN_LABELS, (200,), bytes(200))


def eleven(folder):
    write_idx(folder / TRAIN_LABELS, (240,), bytes([11] * 240))


def empty(folder):
    (folder / TRAIN_LABELS).write_bytes(b"")


def other_size(folder):
    (folder / f"{TRAIN_IMAGES}.gz").unlink()
    write_idx(folder / TRAIN_IMAGES, (240, 32, 32), bytes(240 * 1024))


def missing(folder):
    (folder / TRAIN_LABELS).unlink()


def one_digit(folder):
    write_idx(folder / "t10k-labels-idx1-ubyte", (100,), bytes(100))


def gigabytes(folder):
    sizes = b"".join(n.to_bytes(4) for n in (1 << 21, 28, 28))
    (folder / f"{TRAIN_IMAGES}.gz").write_bytes(gzip.compress(bytes([0, 0, 8, 3]) + sizes + bytes(10**6)))


def impossible(folder):
    (folder / f"{TRAIN_IMAGES}.gz").write_bytes(
        gzip.compress(bytes([0, 0, 8, 3]) + b"\xff" * 12 + bytes(10**6))
    )


def more_than_it_says(folder):
    sizes = b"".join(n.to_bytes(4) for n in (240, 28, 28))
    (folder / f"{TRAIN_IMAGES}.gz").write_bytes(gzip.compress(bytes([0, 0, 8, 3]) + sizes + bytes(10**8)))


def pipe(folder):
    (folder / TRAIN_LABELS).unlink()
    os.mkfifo(folder / TRAIN_LABELS)


@pytest.mark.parametrize(
    ("harm", "sentence"),
    [
        (gigabytes, r"has 1,568 MB; at most 200 are accepted"),
        (impossible, "more than 1e15 MB; at most 200 are accepted"),
        (more_than_it_says, "holds more than 188160 bytes of data"),
        (pipe, "holds no train-labels-idx1-ubyte"),
        (damage_gzip, "train-images-idx3-ubyte.gz is damaged or cannot be read"),
        (wrong_magic, "starts with 00000803; an idx file of this kind starts with 00000801"),
        (truncate, "holds 233 bytes of data, but its header declares 240 = 240"),
        (fewer_labels, r"holds 240 images, but .* 200 labels"),
        (eleven, "holds the label 11; digits 0 to 9"),
        (empty, "starts with nothing"),
        (other_size, "holds images of 32 x 32; 28 x 28 were expected"),
        (missing, "holds no train-labels-idx1-ubyte"),
        (one_digit, "holds 0 test images of a digit; 10 or more"),
    ],
)
def test_damaged_folders_are_refused_in_one_sentence(folder, harm, sentence):
    harm(folder)
    with pytest.raises(ValueError, match=sentence) as caught:
        digits.load(folder)
    assert "\n" not in str(caught.value)


def test_download_needs_a_folder():
    with pytest.raises(ValueError, match="requires a folder"):
        digits.load(download=True)


def test_jitter_is_small_seeded_and_each_image_its_own():
    images = digits.load().test.images[:200].float() / 255
    moved = jitter(images, generator(3))
    assert torch.equal(moved, jitter(images, generator(3)))
    assert not torch.equal(moved, jitter(images, generator(4)))
    assert 0 <= moved.min() and moved.max() <= 1 + 1e-6
    grid = torch.arange(28.0)
    for axis in (2, 3):  # centres of mass move by at most the 2 pixels and what turning and scaling add
        centres = [(x.sum((1, 5 - axis)) * grid).sum(1) / x.sum((1, 2, 3)) for x in (images, moved)]
        shift = centres[1] - centres[0]
        assert shift.abs().max() < 3
        assert shift.std() > 0.5
    assert (moved.sum((1, 2, 3)) / images.sum((1, 2, 3))).sub(1).abs().max() < 0.5
