"""LUT files: read back here, by pillow-lut and by ffmpeg; broken files are refused."""

import shutil
import subprocess

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
    lut_files.write_cube(tmp_path / "look.cube", lut)
    table = pillow_lut.load_cube_file(str(tmp_path / "look.cube"))
    theirs = np.asarray(Image.fromarray(photo).filter(table))
    assert difference(theirs, luts.apply(lut, photo)) <= 1


@pytest.mark.parametrize("suffix", [".cube", ".png"])
def test_ffmpeg_applies_our_files(tmp_path, lut, photo, suffix):
    if not shutil.which("ffmpeg"):
        pytest.skip("ffmpeg is not installed")
    lut_files.write(tmp_path / f"look{suffix}", lut)
    Image.fromarray(photo).save(tmp_path / "in.png")
    inputs, graph = ["-i", "in.png"], "format=gbrp,lut3d=look.cube:interp=trilinear,format=rgb24"
    if suffix == ".png":
        inputs += ["-i", "look.png"]
        graph = "[1]format=rgb48[l];[0]format=rgb48[p];[p][l]haldclut=interp=trilinear,format=rgb24"
    command = ["ffmpeg", "-v", "error", *inputs, "-filter_complex", graph, "-frames:v", "1", "out.png"]
    subprocess.run(command, cwd=tmp_path, check=True, timeout=60)
    assert difference(np.asarray(Image.open(tmp_path / "out.png")), luts.apply(lut, photo)) <= 1


def test_hald_of_its_own_size_is_exact_to_sixteen_bits(tmp_path):
    lut = luts.bake(dusk, 64)
    lut_files.write(tmp_path / "look.png", lut)
    assert np.abs(lut_files.read(tmp_path / "look.png") - lut).max() < 0.6 / 65535
    with Image.open(tmp_path / "look.png") as image:
        assert image.size == (512, 512)


def test_a_33_node_lut_survives_the_level_8_hald(tmp_path, lut, photo):
    lut_files.write_hald(tmp_path / "look.png", lut)
    again = lut_files.read_hald(tmp_path / "look.png")
    assert again.shape == (64, 64, 64, 3)
    assert difference(luts.apply(again, photo), luts.apply(lut, photo)) <= 1


def test_pillow_lut_reads_our_hald(tmp_path, lut, photo):
    lut_files.write_hald(tmp_path / "look.png", lut)
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
    lut_files.write_hald(tmp_path / "ours.png", luts.bake(dusk, 64))
    command = ["ffmpeg", "-v", "error", "-i", "ours.png", "-pix_fmt", pixels, "-pred", "paeth", "theirs.png"]
    subprocess.run(command, cwd=tmp_path, check=True, timeout=60)
    assert np.array_equal(lut_files.read(tmp_path / "theirs.png"), lut_files.read(tmp_path / "ours.png"))


def test_cube_files_of_other_programs(tmp_path):
    rows = "\n".join(f"{r} {g} {b}" for b in ("0", "1e0") for g in ("-0.01", "+1.0") for r in (".0", "1.02"))
    head = (
        '\ufeff# made by hand\r\nTITLE "x y"\nLUT_3D_SIZE 2\n\nLUT_3D_INPUT_RANGE 0.0 1.0\nDOMAIN_MAX 1 1 1\n'
    )
    (tmp_path / "x.CUBE").write_text(
        head + rows.replace("\n", "\r\n# comment\n", 1) + "\n\n", encoding="utf-8"
    )
    assert np.array_equal(lut_files.read(tmp_path / "x.CUBE"), luts.identity(2))


GOOD = "LUT_3D_SIZE 2\n" + "0 0.5 1\n" * 8


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.cube", "", "LUT_3D_SIZE is 'missing'"),
        ("a.cube", GOOD.replace("SIZE 2", "SIZE 1"), "'1', expected a number of 2 to 256"),
        ("a.cube", GOOD.replace("SIZE 2", "SIZE 257"), "257"),
        ("a.cube", GOOD.replace("SIZE 2", "SIZE two"), "two"),
        ("a.cube", GOOD.replace("3D", "1D"), "1D LUT"),
        ("a.cube", GOOD[:-8], "7 rows of values, expected 8"),
        ("a.cube", GOOD[:-2], "not three numbers"),
        ("a.cube", GOOD + "0 0 0\n", "9 rows"),
        ("a.cube", GOOD.replace("0.5", "nan"), "not three numbers"),
        ("a.cube", GOOD.replace("0.5", "x"), "not three numbers"),
        ("a.cube", GOOD.replace("0.5", ""), "not three numbers"),
        ("a.cube", "DOMAIN_MAX 2 2 2\n" + GOOD, "DOMAIN_MAX is 2 2 2"),
        ("a.cube", "DOMAIN_MIN\n" + GOOD, "DOMAIN_MIN"),
        ("a.cube", b"\x89PNG\xff\xfe", "not text"),
        ("a.png", b"", "not a readable PNG"),
        ("a.png", b"\x89PNG\r\n\x1a\n", "not a readable PNG"),
        ("a.png", GOOD, "not a readable PNG"),
        ("a.txt", GOOD, "expected .cube or .png"),
    ],
)
def test_broken_files_are_refused(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ValueError, match=message):
        lut_files.read(tmp_path / name)


def test_pictures_that_are_no_hald_are_refused(tmp_path, lut):
    Image.new("RGB", (512, 511)).save(tmp_path / "a.png")
    with pytest.raises(ValueError, match="512 x 511 pixels"):
        lut_files.read(tmp_path / "a.png")
    lut_files.write_hald(tmp_path / "b.png", lut)
    data = (tmp_path / "b.png").read_bytes()
    (tmp_path / "b.png").write_bytes(data[: len(data) // 2])
    with pytest.raises(ValueError, match="not a readable PNG"):
        lut_files.read(tmp_path / "b.png")


def test_missing_files_and_wrong_names(tmp_path, lut):
    with pytest.raises(ValueError, match="no LUT file"):
        lut_files.read(tmp_path / "a.cube")
    with pytest.raises(ValueError, match=r"cannot write a LUT as look\.txt"):
        lut_files.write(tmp_path / "look.txt", lut)
    with pytest.raises(ValueError, match="level 17"):
        lut_files.write_hald(tmp_path / "look.png", lut, level=17)
    with pytest.raises(ValueError, match="run from 0 to 2"):
        lut_files.write(tmp_path / "look.cube", luts.identity(3) * 2)
    assert not list(tmp_path.iterdir())
