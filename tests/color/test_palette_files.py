"""Palette files: what goes out comes back, another reader agrees, broken files are refused."""

import json
import struct

import numpy as np
import pytest
import swatch

from vision_core.color import palette_files
from vision_core.color.palette import Palette

PALETTE = Palette(
    np.array([(255, 255, 255), (1, 128, 254), (0, 0, 0)], np.uint8), np.array([0.5, 0.3, 0.2], np.float64)
)


@pytest.mark.parametrize("suffix", palette_files.READABLE)
def test_colours_and_their_order_come_back(tmp_path, suffix):
    path = tmp_path / f"palette{suffix.upper()}"
    palette_files.write(path, PALETTE, name='Ünïcode "and" */ </x> 🎨\nsecond line')
    palette = palette_files.read(path)
    assert np.array_equal(palette.colors, PALETTE.colors)
    expected = PALETTE.shares if suffix in (".json", ".gpl", ".ase") else [1 / 3] * 3
    assert palette.shares == pytest.approx(expected, abs=1e-4)


def test_gpl_is_as_gimp_describes_it():
    lines = palette_files.dumps(PALETTE, ".gpl", "Sunset\nName: other").decode().split("\n")
    assert lines[:4] == ["GIMP Palette", "Name: Sunset Name: other", "Columns: 0", "#"]
    assert lines[4:] == [
        "255 255 255\t#ffffff 50.00 %",
        "  1 128 254\t#0180fe 30.00 %",
        "  0   0   0\t#000000 20.00 %",
        "",
    ]


def test_gpl_of_other_programs():
    header = "\ufeffGIMP Palette\r\nName: x\r\nChannels: RGBA\r\n# note\r\n\r\n"
    text = header + "0 0 255\r\n 12\t34 56 255 Blue: deep\r\n"
    assert palette_files.loads(text.encode(), ".gpl").colors.tolist() == [[0, 0, 255], [12, 34, 56]]


def test_swatch_reads_our_ase(tmp_path):
    path = tmp_path / "p.ase"
    palette_files.write(path, PALETTE, name="Täst 🎨")
    (group,) = swatch.parse(str(path))
    assert group["name"] == "Täst 🎨"
    assert [item["name"] for item in group["swatches"]] == [
        "#ffffff 50.00 %",
        "#0180fe 30.00 %",
        "#000000 20.00 %",
    ]
    values = np.array([item["data"]["values"] for item in group["swatches"]])
    assert np.array_equal(np.rint(values * 255), PALETTE.colors)


def test_we_read_what_swatch_writes():
    def color(mode: str, *values: float) -> dict:
        return {"name": "ä🎨", "type": "Spot", "data": {"mode": mode, "values": values}}

    group = {"name": "inks", "type": "Color Group", "swatches": [color("CMYK", 0, 0.5, 1, 0.2)]}
    data = swatch.dumps(
        [color("RGB", 1, 0.2, 0), color("Gray", 0.4), color("LAB", 0.53241, 80.09, 67.20), group]
    )
    colors = palette_files.loads(_with_utf16_lengths(data), ".ase").colors.tolist()
    assert colors[:2] == [[255, 51, 0], [102, 102, 102]]
    assert np.abs(np.array(colors[2]) - (255, 0, 0)).max() <= 1
    assert colors[3] == [204, 102, 0]


def _with_utf16_lengths(data: bytes) -> bytes:
    """Swatch counts a name's letters where the format counts UTF-16 units; an emoji has two."""
    name = "ä🎨\0".encode("utf-16-be")
    return data.replace(struct.pack(">H", 3) + name, struct.pack(">H", 4) + name)


@pytest.mark.parametrize(
    "text", ["#ff0000\n#00f", "ff0000,0000FF", "; Paint\n#f00 ; red 3 %\n\n0000ff // blue", "# mine\nf00 00f"]
)
def test_hex_lists(text):
    assert palette_files.loads(text.encode(), ".txt").colors.tolist() == [[255, 0, 0], [0, 0, 255]]


@pytest.mark.parametrize(
    "content",
    [
        ["#ff0000", "#0000ff"],
        [[255, 0, 0], [0, 0, 255]],
        {"colors": [{"hex": "#f00"}, {"rgb": [0, 0, 255]}]},
        {"colors": [{"hex": "#f00", "share": 3}, {"hex": "#00f", "share": 3.0}]},
    ],
)
def test_json_forms(content):
    palette = palette_files.loads(json.dumps(content).encode(), ".json")
    assert palette.colors.tolist() == [[255, 0, 0], [0, 0, 255]]
    assert palette.shares.tolist() == [0.5, 0.5]


def test_a_colour_listed_twice_counts_twice():
    palette = palette_files.loads(b"f00 00f f00", ".hex")
    assert palette.colors.tolist() == [[255, 0, 0], [0, 0, 255]]
    assert palette.shares == pytest.approx([2 / 3, 1 / 3])


def test_css_is_valid_whatever_the_name():
    css = palette_files.dumps(PALETTE, ".css", "a */ b { x }").decode()
    assert css.splitlines()[0] == "/* a * / b { x } */"
    assert "  --palette-2: #0180fe; /* 30.00 % */" in css
    with pytest.raises(ValueError, match=r"cannot read a palette from '\.css'"):
        palette_files.loads(css.encode(), ".css")


ASE = palette_files.dumps(PALETTE, ".ase")


@pytest.mark.parametrize(
    ("suffix", "data", "message"),
    [
        (".gpl", b"", "first line"),
        (".gpl", b"GIMP Palette\n", "0 colours"),
        (".gpl", b"GIMP Palette\n1 2 3\n1 2 256 x", "line 3"),
        (".gpl", b"GIMP Palette\n1 2", "line 2"),
        (".gpl", b"GIMP Palette\n\xff", "UTF-8"),
        (".hex", b"#12345", "line 1: '#12345' is not a colour"),
        (".hex", b"ff0000ff", "line 1"),
        (".hex", "\n".join(f"{i:06x}" for i in range(257)).encode(), "257 colours"),
        (".json", b"{", "not JSON"),
        (".json", b"[" * 100_000, "not JSON"),
        (".json", b"{}", "list of colours"),
        (".json", b"[1]", "colour 1 is neither"),
        (".json", b"[[1, 2, 3.5]]", "colour 1 is neither"),
        (".json", b"[[1, 2, true]]", "colour 1 is neither"),
        (".json", b'[{"hex": "#fff", "share": 1}, "#000"]', "every colour has a share"),
        (".json", b'[{"hex": "#fff", "share": -1}]', "share of colour 1"),
        (".json", b'[{"hex": "#fff", "share": NaN}]', "share of colour 1"),
        (".json", b'[{"hex": "#fff", "share": 1' + b"0" * 400 + b"}]", "share of colour 1"),
        (".json", b'[{"hex": "#fff", "share": 0}]', "every share is 0"),
        (".ase", b"", "not an Adobe"),
        (".ase", b"ASEF\0\2\0\0\0\0\0\0", "version 1.0"),
        (".ase", ASE[:10], "cut off"),
        (".ase", ASE[:-40], "cut off"),
        (".ase", ASE[:-3], "cut off"),
        (".ase", ASE.replace(b"RGB ", b"HSB "), "unknown model b'HSB '"),
        (".ase", ASE.replace(struct.pack(">f", 1.0), struct.pack(">f", float("nan"))), "colour 1 has values"),
        (".ase", b"ASEF\0\1\0\0\0\0\0\1\0\1\xff\xff\xff\xff", "cut off"),
        (".ase", b"ASEF\0\1\0\0\0\0\0\1\0\1\0\0\0\2\xff\xff", "unknown model"),
        (".xml", b"", "cannot read a palette from '.xml'"),
        ("", b"", "no suffix"),
    ],
)
def test_broken_files_are_refused(tmp_path, suffix, data, message):
    path = tmp_path / f"palette{suffix}"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=message):
        palette_files.read(path)


def test_every_shortened_ase_is_refused():
    for length in range(len(ASE)):
        with pytest.raises(ValueError):
            palette_files.loads(ASE[:length], ".ase")


def test_missing_large_and_unwritable_files(tmp_path):
    with pytest.raises(ValueError, match="no palette file"):
        palette_files.read(tmp_path / "none.gpl")
    with pytest.raises(ValueError, match="no palette file"):
        palette_files.read(tmp_path)
    (tmp_path / "large.hex").write_bytes(b"\n" * (palette_files.MAX_BYTES + 1))
    with pytest.raises(ValueError, match="larger than 1 MB"):
        palette_files.read(tmp_path / "large.hex")
    with pytest.raises(ValueError, match=r"cannot write a palette as '\.png'"):
        palette_files.write(tmp_path / "palette.png", PALETTE)
    assert [file.name for file in tmp_path.iterdir()] == ["large.hex"]
