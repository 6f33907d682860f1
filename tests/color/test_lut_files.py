"""Tests of LUT files, also with pillow-lut and ffmpeg; broken files are rejected."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pillow_lut
import pytest
from PIL import Image
from skimage import data

from vision_core.color import lut as luts
from vision_core.color import lut_files


def dusk(colors: np.ndarray) -> np.ndarray:
    red, green, blue = colors.T
    return np.stack([0.95 * red**1.2, green * (0.6 + 0.3 * blue), 0.15 + 0.8 * blue - 0.1 * red * blue], 1)


@pytest.fixture
def lut() -> np.ndarray:
    return luts.bake(dusk, 33)


@pytest.fixture
def photo() -> np.ndarray:
    return data.astronaut()[::2, ::2]


def difference(a: np.ndarray, b: np.ndarray) -> int:
    return int(np.abs(a.astype(int) - b).max())


def test_cube_comes_back(tmp_path, lut):
    path = tmp_path / "look.cube"
    lut_files.write(path, lut, title='A "look"\nLUT_3D_SIZE 2')
    assert path.read_text().splitlines()[:3] == [
        'TITLE "A lookLUT_3D_SIZE 2"',
        "LUT_3D_SIZE 33",
        "DOMAIN_MIN 0.0 0.0 0.0",
    ]
    assert np.abs(lut_files.read(path) - lut).max() < 1e-6


def test_pillow_lut_reads_our_cube(tmp_path, lut, photo):
    lut_files.write(tmp_path / "look.cube", lut)
    table = pillow_lut.load_cube_file(str(tmp_path / "look.cube"))
    theirs = np.asarray(Image.fromarray(photo).filter(table))
    assert difference(theirs, luts.apply(lut, photo)) <= 1


def with_ffmpeg(folder: Path, rgb: np.ndarray, graph: str, *inputs: str) -> np.ndarray:
    """A picture, uint16 (H, W, 3), through a filter graph of ffmpeg in 16 bits."""
    if not shutil.which("ffmpeg"):
        pytest.skip("ffmpeg is not installed")
    height, width = rgb.shape[:2]
    raw = ["-f", "rawvideo", "-pix_fmt", "rgb48le"]
    command = ["ffmpeg", "-v", "error", *raw, "-s", f"{width}x{height}", "-i", "-", *inputs]
    command += ["-filter_complex", f"{graph},format=rgb48le", "-frames:v", "1", *raw, "-"]
    process = subprocess.run(
        command, cwd=folder, input=rgb.astype("<u2").tobytes(), capture_output=True, check=True, timeout=60
    )
    return np.frombuffer(process.stdout, "<u2").reshape(rgb.shape)


def ramps() -> np.ndarray:
    """Every channel from 0 to 65535 against every other: uint16 (256, 512, 3)."""
    across, down = np.meshgrid(np.linspace(0, 65535, 512), np.linspace(0, 65535, 256))
    return np.stack([across, down, across[:, ::-1] * 0.7 + down * 0.3], 2).astype(np.uint16)


def fine(photo: np.ndarray) -> np.ndarray:
    """The photograph in 16 bits that use the low ones, too."""
    wide = photo.astype(np.int64) * 257 + np.random.default_rng(0).integers(-128, 129, photo.shape)
    return wide.clip(0, 65535).astype(np.uint16)


@pytest.mark.parametrize("size", [2, 33])
def test_cubes_give_what_ffmpeg_gives(tmp_path, photo, size):
    """Tetrahedral, and nodes outside of 0 to 1 keep their values until the end."""
    nodes = luts.identity(size)
    steep = (np.sin(nodes * 7 + nodes[..., [1, 2, 0]] * 5) * 1.5 + 0.5).astype(np.float32)
    assert steep.min() < -0.4 and steep.max() > 1.4
    (tmp_path / "x.cube").write_text(
        f"LUT_3D_SIZE {size}\n" + "\n".join(f"{r:.7f} {g:.7f} {b:.7f}" for r, g, b in steep.reshape(-1, 3))
    )
    lut = lut_files.read(tmp_path / "x.cube")
    for picture in (ramps(), fine(photo)):
        theirs = with_ffmpeg(tmp_path, picture, "lut3d=x.cube:interp=tetrahedral")
        assert difference(theirs, luts.apply(lut, picture)) <= 65535 / 1023 / 8


@pytest.mark.parametrize("suffix", [".cube", ".png"])
def test_ffmpeg_applies_our_files(tmp_path, lut, photo, suffix):
    lut_files.write(tmp_path / f"look{suffix}", lut)
    lut = lut if suffix == ".cube" else lut_files.read(tmp_path / "look.png")  # there of 64 nodes
    inputs, graph = (), "lut3d=look.cube:interp=tetrahedral"
    if suffix == ".png":
        inputs, graph = ("-i", "look.png"), "[1]format=rgb48[l];[0][l]haldclut=interp=tetrahedral"
    for picture in (ramps(), fine(photo)):
        assert (
            difference(with_ffmpeg(tmp_path, picture, graph, *inputs), luts.apply(lut, picture))
            <= 65535 / 1023
        )


def test_hald_of_its_own_size_is_exact_to_sixteen_bits(tmp_path):
    lut = luts.bake(dusk, 64)
    lut_files.write(tmp_path / "look.png", lut)
    assert np.abs(lut_files.read(tmp_path / "look.png") - lut).max() < 0.6 / 65535
    with Image.open(tmp_path / "look.png") as image:
        assert image.size == (512, 512)


def test_a_33_node_lut_survives_the_level_8_hald(tmp_path, lut, photo):
    lut_files.write(tmp_path / "look.png", lut)
    again = lut_files.read(tmp_path / "look.png")
    assert again.shape == (64, 64, 64, 3)
    assert difference(luts.apply(again, photo), luts.apply(lut, photo)) <= 1


def test_pillow_lut_reads_our_hald(tmp_path, lut, photo):
    lut_files.write(tmp_path / "look.png", lut)
    theirs = np.asarray(Image.fromarray(photo).filter(pillow_lut.load_hald_image(str(tmp_path / "look.png"))))
    assert difference(theirs, luts.apply(lut, photo)) <= 2  # it drops the low bytes of 16 bits


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_eight_bit_halds_are_read(tmp_path, mode):
    level = 3
    values = np.rint(luts.identity(level**2).reshape(level**3, level**3, 3) * 255).astype(np.uint8)
    Image.fromarray(values).convert(mode).save(tmp_path / "identity.png")
    assert np.abs(lut_files.read(tmp_path / "identity.png") - luts.identity(9)).max() < 0.51 / 255


@pytest.mark.parametrize("pixels", ["rgb48be", "rgba64be"])
def test_sixteen_bit_halds_of_other_writers_are_read(tmp_path, pixels):
    if not shutil.which("ffmpeg"):
        pytest.skip("ffmpeg is not installed")
    lut_files.write(tmp_path / "ours.png", luts.bake(dusk, 64))
    command = ["ffmpeg", "-v", "error", "-i", "ours.png", "-pix_fmt", pixels, "-pred", "paeth", "theirs.png"]
    subprocess.run(command, cwd=tmp_path, check=True, timeout=60)
    assert np.array_equal(lut_files.read(tmp_path / "theirs.png"), lut_files.read(tmp_path / "ours.png"))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.cube", b"", "a.cube: has no LUT_3D_SIZE"),
        ("a.cube", b"LUT_3D_SIZE 2\n0 0 x\n", "a.cube: line 2 is '0 0 x'"),
        ("a.png", b"", "not a readable PNG"),
        ("a.png", b"\x89PNG\r\n\x1a\n", "not a readable PNG"),
        ("a.png", b"LUT_3D_SIZE 2", "not a readable PNG"),
        ("a.txt", b"LUT_3D_SIZE 2", r"from a.txt, expected .cube or .png: export it as .cube"),
        ("a.3DL", b"0 64 128", r"from a.3DL \(a Lustre or Flame LUT\), expected .cube or .png"),
    ],
)
def test_broken_and_foreign_files_are_refused(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=message):
        lut_files.read(tmp_path / name)


def test_a_cut_hald_is_refused(tmp_path, lut):
    lut_files.write(tmp_path / "b.png", lut)
    data = (tmp_path / "b.png").read_bytes()
    (tmp_path / "b.png").write_bytes(data[: len(data) // 2])
    with pytest.raises(ValueError, match="not a readable PNG"):
        lut_files.read(tmp_path / "b.png")


def test_a_lut_behind_curves_is_written_as_one_grid(tmp_path, photo):
    curves = np.linspace(0, 1, 50, dtype=np.float32)[:, None] ** np.array([0.8, 1, 1.3], np.float32)
    shaped = luts.Shaped(luts.bake(dusk, 17), curves, np.zeros(3, np.float32), np.ones(3, np.float32))
    lut_files.write(tmp_path / "look.cube", shaped)
    again = lut_files.read(tmp_path / "look.cube")
    assert again.shape == (65, 65, 65, 3)
    assert difference(luts.apply(again, photo), luts.apply(shaped, photo)) <= 2


def test_missing_files_and_wrong_names(tmp_path, lut):
    with pytest.raises(ValueError, match="no LUT file"):
        lut_files.read(tmp_path / "a.cube")
    with pytest.raises(ValueError, match=r"cannot write a LUT as look\.txt"):
        lut_files.write(tmp_path / "look.txt", lut)
    with pytest.raises(ValueError, match="run from 0 to 200"):
        lut_files.write(tmp_path / "look.cube", luts.identity(3) * 200)
    assert not list(tmp_path.iterdir())
