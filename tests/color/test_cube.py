"""Tests of .cube files: read as by OpenColorIO, or rejected with the line and a remedy."""

from pathlib import Path
from typing import Any

import numpy as np
import PyOpenColorIO
import pytest

from vision_core.color import cube
from vision_core.color import lut as luts

ocio: Any = PyOpenColorIO
RNG = np.random.default_rng(0)
COLORS = RNG.random((500, 3), dtype=np.float32)


def rows(values: np.ndarray) -> str:
    return "".join(f"{r:.6f} {g:.6f} {b:.6f}\n" for r, g, b in values.reshape(-1, 3))


GRID = np.clip(luts.identity(4) ** 1.5 * 1.2 - 0.1, -0.1, 1.2).astype(np.float32)  # overshoots
CURVES = np.linspace(0, 1, 20)[:, None] ** np.array([0.5, 0.8, 1.2])
COLUMN = rows(CURVES)
GOOD = "LUT_3D_SIZE 4\n" + rows(GRID)


def theirs(path: Path) -> np.ndarray:
    """The colours through the file as OpenColorIO reads it, not clipped."""
    step = ocio.FileTransform(str(path), interpolation=ocio.INTERP_TETRAHEDRAL)
    cpu = ocio.Config.CreateRaw().getProcessor(step).getOptimizedCPUProcessor(ocio.OPTIMIZATION_NONE)
    colors = COLORS.copy()
    cpu.applyRGB(colors)
    return colors


@pytest.mark.parametrize(
    "text",
    [
        GOOD,
        "DOMAIN_MIN -0.2 0 0.1\nDOMAIN_MAX 1.5 0.9 1\n" + GOOD,
        "LUT_3D_INPUT_RANGE 0.1 0.8\n" + GOOD,
        "LUT_1D_SIZE 20\n" + COLUMN,
        "LUT_1D_SIZE 20\nDOMAIN_MIN 0 0.1 -0.1\nDOMAIN_MAX 2 1 1\n" + COLUMN,
        "LUT_1D_SIZE 20\nLUT_1D_INPUT_RANGE -0.5 1.5\n" + COLUMN,
        "LUT_1D_SIZE 20\nLUT_3D_SIZE 4\n" + COLUMN + rows(GRID),
        "LUT_1D_SIZE 20\nLUT_1D_INPUT_RANGE 0 0.9\nLUT_3D_SIZE 4\nLUT_3D_INPUT_RANGE 0.1 0.7\n"
        + COLUMN
        + rows(GRID),
    ],
    ids=["3D", "domain", "3D range", "1D", "1D domain", "1D range", "shaper", "shaper ranges"],
)
def test_read_as_opencolorio_reads_them(tmp_path, text):
    (tmp_path / "x.cube").write_text(text)
    ours = luts.sample(cube.parse(text.encode()), COLORS)
    assert np.abs(ours - theirs(tmp_path / "x.cube")).max() < 2e-5


@pytest.mark.parametrize(
    "data",
    [
        GOOD.encode("utf-8-sig"),
        GOOD.encode("utf-16"),
        GOOD.encode("utf-16-be"),
        ('TITLE "Crépuscule"\n# à la main\n' + GOOD).encode("latin-1"),
        GOOD.replace("\n", "\r\n").encode() + b"\x1a",
        GOOD.replace("\n", "\r").encode(),
        GOOD.replace(" ", "\t").replace("\n", " \t\n").encode(),
        GOOD.replace("\n", "\n\n# note 1 2 3\n").encode(),
        GOOD.replace("\n", " # note\n").encode(),
        GOOD.replace("LUT_3D_SIZE", "lut_3d_size").encode(),
        ("BMD_TITLE x\nCreated by: someone\n// note\n" + GOOD + "TITLE end\n").encode(),
        GOOD.replace("0.", ".", 20).replace("1.2", "+12.0e-1").encode(),
    ],
    ids="bom utf16 utf16-no-bom latin1 ctrl-z cr tabs comments comments-behind lower keywords digits".split(),
)
def test_spellings_of_one_lut(data):
    assert np.array_equal(cube.parse(data), cube.parse(GOOD.encode()))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no LUT_3D_SIZE or LUT_1D_SIZE"),
        ("0 0 0\n" + GOOD, "line 1 has values, but there is no LUT_3D_SIZE"),
        (GOOD.replace("SIZE 4", "SIZE 1"), "line 1 says LUT_3D_SIZE '1', expected a number of 2 to 256"),
        (GOOD.replace("SIZE 4", "SIZE 257"), "2 to 256"),
        (GOOD.replace("SIZE 4", "SIZE four"), "'four'"),
        (GOOD.replace("SIZE 4", "SIZE"), "line 1 says LUT_3D_SIZE ''"),
        (
            GOOD.replace("SIZE 4", "SIZE 200"),
            "line 1 says LUT_3D_SIZE 200: 8,000,000 rows do not fit into the file",
        ),
        ("LUT_2D_SIZE 4\n" + GOOD, "line 1 has the unsupported keyword 'LUT_2D_SIZE'"),
        ("LUT_IN_VIDEO_RANGE\n" + GOOD, "line 1 .* export the LUT for full range"),
        (GOOD + "LUT_1D_SIZE 20\n" + COLUMN, "line 66 has LUT_1D_SIZE, which must appear once, before"),
        (GOOD.rsplit("\n", 2)[0], "has 63 rows of values, 64 were expected for LUT_3D_SIZE 4: is it trunc"),
        (GOOD + "0 0 0\n", "line 66 is one row too many, 64 were expected"),
        (GOOD.replace("1.100000", "nan", 1), r"line \d+ holds .*nan.*expected numbers of about 0 to 1"),
        (GOOD.replace("1.100000", "-inf", 1), r"line \d+ holds .*inf"),
        ("LUT_3D_SIZE 2\n" + "0 512 1023\n" * 8, "line 2 holds 0 512 1023, expected numbers of about 0 to 1"),
        (GOOD.replace(".", ","), r"line 2 is .* decimal point, 0\.5 instead of 0,5"),
        (GOOD.replace(" ", ", ").replace("SIZE,", "SIZE"), "line 2 is .* separated by spaces, not commas"),
        ("LUT_3D_SIZE 2\n0 0 0\n0 0\n", "line 3 is '0 0', expected three numbers"),
        ("LUT_3D_SIZE 2\n0 0 0\n0 0 0 1\n", "line 3 is '0 0 0 1', expected three numbers"),
        ("DOMAIN_MIN\n" + GOOD, "line 1 says DOMAIN_MIN '', expected 3 numbers"),
        ("DOMAIN_MAX 1023 1023 1023\n" + GOOD, "line 1 says DOMAIN_MAX '1023 1023 1023'"),
        ("DOMAIN_MIN 1 1 1\n" + GOOD, r"for inputs of \[1.0, 1.0, 1.0\] to \[1.0, 1.0, 1.0\]"),
        ("DOMAIN_MAX 2 2 2\nLUT_3D_INPUT_RANGE 0 1\n" + GOOD, "a different DOMAIN_MIN or DOMAIN_MAX"),
        ("LUT_3D_SIZE 2\n0 0 0\nabc 0 0\n", "line 3 is 'abc 0 0', expected three numbers"),
        ("<!doctype html>\n", "line 1 is '<!doctype html>', expected three numbers"),
        ("\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + "\xff" * 99, "is not text"),
    ],
)
def test_faults_are_named_with_their_line(text, message):
    with pytest.raises(ValueError, match=message):
        cube.parse(text.encode("latin-1"))


@pytest.mark.parametrize(
    "data",
    [
        b"a\n" * 30_000_000,
        b"00\n" * 20_000_000,
        b"#\n" * 30_000_000,
        b"\r" * 60_000_000,
        b"LUT_3D_SIZE 2\nDOMAIN_MIN " + b"0 " * 30_000_000,
        b"LUT_3D_SIZE 256\n" + b"0 0 0\n" * 10_000_000,
        b"LUT_3D_SIZE 2\n" + b"NOTE 1\n" * 8_000_000,
    ],
    ids="letters numbers comments empty one-line cut keywords".split(),
)
def test_hostile_files_are_refused_after_their_first_lines(data, tmp_path, monkeypatch):
    """No more of the text is read than what a fault needs: counted, not timed."""
    read = []
    words = cube._Cube.words
    monkeypatch.setattr(cube._Cube, "words", lambda self, line: (read.append(1), words(self, line)))
    with pytest.raises(ValueError) as error:
        cube.parse(data)
    assert len(read) < 10_100 and len(str(error.value)) < 200
