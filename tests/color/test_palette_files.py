"""Tests of palette files: round trips, another reader, broken files."""

import json
import struct

import numpy as np
import pytest
import swatch
from PIL import ImageColor

from vision_core.color import palette_files
from vision_core.color.palette import Palette
from vision_core.safety import limits

PALETTE = Palette(
    np.array([(255, 255, 255), (1, 128, 254), (0, 0, 0)], np.uint8), np.array([0.5, 0.3, 0.2], np.float64)
)


@pytest.mark.parametrize("suffix", palette_files.WRITABLE)
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
    text = header + "0 0 255\r\n 12\t34 56 255 Blue: deep\r\n  9   9   9   0 Transparent\r\n"
    assert palette_files.loads(text.encode(), ".gpl").colors.tolist() == [[0, 0, 255], [12, 34, 56]]
    plain = "GIMP Palette\rName: Crépuscule\r255.2 -0 255 0 is a name here\r"
    for data in (plain.encode("latin-1"), plain.encode("utf-16")):
        assert palette_files.loads(data, ".gpl").colors.tolist() == [[255, 0, 255]]


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


RED_BLUE = [[255, 0, 0], [0, 0, 255]]


@pytest.mark.parametrize(
    ("suffix", "text"),
    [
        (
            ".txt",
            ";paint.net Palette File\n;Palette Name: x\n;Colors: 2\nFFFF0000\n80FF0000\n00123456\nFF0000FF\n",
        ),
        (".txt", "ffff0000\nff0000ff\nff00aa00\n"),  # every one begins with ff: alpha first
        (".hex", "ff0000ff\n0000ffff\n00aa00ff\n"),
        (".hex", "#ff0000ff\n#0000ff80\n#00aa00ff\n#11223300\n"),
        (".txt", "0xff0000 0x0000FF"),
        (".txt", "255 0 0\n0, 0, 255\n"),  # decimals, not the hex shorthand
        (".pal", "JASC-PAL\r\n0100\r\n3\r\n255 0 0\r\n0 0 255\r\n255 0 0 0\r\n"),
        (".txt", "JASC-PAL\n0100\n2\n255 0 0\n0 0 255\n\x1a"),
        (
            ".css",
            ":root { --a: #f00; /* #123456 */ --b: rgb(0 0 255 / 1); --c: #0000; background: url(#abc) }",
        ),
        (".css", "#fade { color: RGBA(100%, 0%, 0%, .5); border: 1px solid hsl(240deg, 100%, 50%); }"),
        (".css", "a:hover { color: red } b { color: blue; fill: transparent }"),
        (".css", "a { color: red !important; border: 1px solid hsl(0.66667turn 100% 50%); font: 9px Tan }"),
        (".css", "a { outline: thin RED; background: blue url(white.png), transparent; --grey-x: none }"),
        (".json", '["red", "rgb(0 0 255)", "rgb(0 0 9 / 0)", "00aa00"]'),
        (".json", '{"name": "x", "author": "y", "colors": ["ff0000", "0000ff"]}'),
        (".json", '{"fire": "#F00", "sea": "rgb(0, 0, 255)"}'),
        (".json", '[{"r": 255.0, "g": 0, "b": 0}, {"rgb": [0, 0, 254.999]}, {"hex": "#123456", "alpha": 0}]'),
        (".json", '{"palette": [[255, 0, 0, 255], [0, 0, 255, 128], [1, 2, 3, 0]]}'),
    ],
)
def test_lists_of_other_programs(suffix, text):
    colors = palette_files.loads(text.encode(), suffix).colors.tolist()
    assert colors[:2] == RED_BLUE and (len(colors) == 2 or colors[2:] == [[0, 170, 0]])


def test_binary_palettes_of_windows_and_photoshop():
    entries = bytes([255, 0, 0, 0, 0, 0, 255, 0])
    riff = b"RIFF" + struct.pack("<I", 24) + b"PAL data" + struct.pack("<IHH", 12, 0x300, 2) + entries
    assert palette_files.loads(riff, ".pal").colors.tolist() == RED_BLUE
    swatches = [
        (0, 65535, 0, 0, 0),  # RGB
        (1, 43690, 65535, 65535, 0),  # HSB: blue
        (2, 65535, 0, 0, 65535),  # CMYK, 0 is full ink: red
        (7, 4623, 65536 - 5170, 4990, 0),  # Lab: green of half strength
        (8, 5000, 0, 0, 0),  # half grey
    ]
    name = struct.pack(">I", 2) + "a\0".encode("utf-16-be")
    first = struct.pack(">HH", 1, 5) + b"".join(struct.pack(">5H", *swatch) for swatch in swatches)
    second = struct.pack(">HH", 2, 5) + b"".join(struct.pack(">5H", *swatch) + name for swatch in swatches)
    for data in (first + second, second):
        colors = palette_files.loads(data, ".aco").colors
        assert colors[:2].tolist() == RED_BLUE and colors[-1].tolist() == [128] * 3
        assert np.abs(colors[2:-1] - (0.0, 128, 0)).max() <= 1 and len(colors) == 4
    with pytest.raises(ValueError, match="truncated"):
        palette_files.loads(first[:-1], ".aco")


def test_numbers_a_hair_outside_of_their_range_are_rounded():
    data = palette_files.dumps(PALETTE, ".ase").replace(struct.pack(">f", 1.0), struct.pack(">f", 1.00001))
    assert np.array_equal(palette_files.loads(data, ".ase").colors, PALETTE.colors)


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


ASE = palette_files.dumps(PALETTE, ".ase")


@pytest.mark.parametrize(
    ("suffix", "data", "message"),
    [
        (".gpl", b"", "first line"),
        (".gpl", b"GIMP Palette\n", "0 visible colours"),
        (".gpl", b"GIMP Palette\nChannels: RGBA\n0 0 0 0 x", "0 visible colours"),
        (".gpl", b"GIMP Palette\n1 2 3\n1 2 256 x", "line 3"),
        (".gpl", b"GIMP Palette\n1 2", "line 2"),
        (".gpl", b"GIMP Palette\n1 2 3\0", "not text"),
        (".hex", b"#12345", "line 1: '#12345' is not a colour"),
        (".hex", b"ff0000ff", "line 1: 'ff0000ff' is ambiguous, AARRGGBB .paint.net. or RRGGBBAA"),
        (".txt", b"12345", "line 1: '12345' is not a colour"),
        (".pal", b"12 34 56", "neither a Paint Shop Pro"),
        (".pal", b"JASC-PAL\n0100\n3\n1 2 3\n", "line 3 declares 3 colours, but 1 follow"),
        (".pal", b"JASC-PAL\n0100\n1\n1 2 256\n", "line 4 is not red, green and blue"),
        (".pal", b"RIFF\0\0\0\0PAL data\0\0\0\0\0\3\xff\0abc", "truncated"),
        (".css", b"a { color: oklch(0.5 0.1 20) }", r"contains oklch\(\.\.\.\), expected #3366cc"),
        (".css", b"#fade { margin: 0; }", "0 visible colours"),
        (".aco", b"\0\1\0\1\0\x0e\0\0\0\0\0\0\0\0", "unknown colour space"),
        (".kpl", b"PK", r"'\.kpl' \(Krita's\), expected \.gpl"),
        (".hex", "\n".join(f"{i:06x}" for i in range(257)).encode(), "257 visible colours"),
        (".json", b"{", "not JSON"),
        (".json", b"[" * 100_000, "not JSON"),
        (".json", b"{}", "list of colours"),
        (".json", b"[1]", "colour 1 is neither"),
        (".json", b'["#12345"]', "'#?12345' is not a colour"),
        (".json", b'["rgb(1, 2)"]', r"'rgb\(1, 2\)' is not a colour"),
        (".json", b'["#fff", "reddish"]', "reddish' is not a colour"),
        (".json", b"[[1, 0, 0], [0.5, 0, 0]]", "all its numbers are 0 to 1"),
        (".txt", b"1.0 0.0 0.0\n0 0.5 0\n", "all its numbers are 0 to 1"),
        (".json", b"[[1, 2, 3.5]]", "colour 1 is neither"),
        (".json", b"[[1, 2, true]]", "colour 1 is neither"),
        (".json", b'[{"hex": "#fff", "share": 1}, "#000"]', "all colours must have a share"),
        (".json", b'[{"hex": "#fff", "share": -1}]', "share of colour 1"),
        (".json", b'[{"hex": "#fff", "share": NaN}]', "share of colour 1"),
        (".json", b'[{"hex": "#fff", "share": 1' + b"0" * 400 + b"}]", "share of colour 1"),
        (".json", b'[{"hex": "#fff", "share": 0}]', "every share is 0"),
        (".ase", b"", "not an Adobe"),
        (".ase", b"ASEF\0\2\0\0\0\0\0\0", "version 1.0"),
        (".ase", ASE[:10], "truncated"),
        (".ase", ASE[:-40], "truncated"),
        (".ase", ASE[:-3], "truncated"),
        (".ase", ASE.replace(b"RGB ", b"HSB "), "unknown model b'HSB '"),
        (".ase", ASE.replace(struct.pack(">f", 1.0), struct.pack(">f", float("nan"))), "colour 1 has values"),
        (".ase", b"ASEF\0\1\0\0\0\0\0\1\0\1\xff\xff\xff\xff", "truncated"),
        (".ase", b"ASEF\0\1\0\0\0\0\0\1\0\1\0\0\0\2\xff\xff", "unknown model"),
        (".xml", b"", "cannot read a palette from '.xml'"),
        ("", b"", "without a suffix"),
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
    (tmp_path / "large.hex").write_bytes(b"\n" * (limits.PALETTE.value + 1))
    with pytest.raises(ValueError, match="at most 1 are accepted"):
        palette_files.read(tmp_path / "large.hex")
    with pytest.raises(ValueError, match=r"cannot write a palette as '\.png'"):
        palette_files.write(tmp_path / "palette.png", PALETTE)
    assert [file.name for file in tmp_path.iterdir()] == ["large.hex"]


def test_a_named_colour_is_read_again_after_pillow_has_looked_it_up():
    ImageColor.getrgb("red")  # keeps a tuple in the table of names
    assert palette_files.loads(b"a { color: Red }", ".css").colors.tolist() == [[255, 0, 0]]
