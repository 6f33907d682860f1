"""Every layout of a TIFF: the same pixels as tifffile sees, or a refusal that names the layout.

`python tests/pictures/test_tiff_layouts.py` prints the table of the docs.
"""

import itertools
import struct
from collections import Counter
from collections.abc import Iterator
from io import BytesIO
from typing import Any

import numpy as np
import pytest

from vision_core.pictures.images import Picture, read

tifffile = pytest.importorskip("tifffile")
imagecodecs = pytest.importorskip("imagecodecs")

HEIGHT, WIDTH = 37, 53  # no multiple of a tile, a strip or a byte
COMPRESSIONS = ("none", "lzw", "deflate", "packbits", "lzma", "zstd")
SHAPES = {
    "miniswhite": 1,
    "minisblack": 1,
    "grey and alpha": 2,
    "rgb": 3,
    "rgb and alpha": 4,
    "rgb and premultiplied alpha": 4,
    "rgb and another": 4,
    "palette": 1,
    "separated": 4,
    "cielab": 3,
    "icclab": 3,
}
EXTRAS = {"grey and alpha": 2, "rgb and alpha": 2, "rgb and premultiplied alpha": 1, "rgb and another": 0}


def layouts() -> Iterator[dict[str, Any]]:
    """Bits x colour x planes x byte order x compression, in strips and tiles, with and without predictor."""
    kinds = [(8, "u"), (16, "u"), (1, "u"), (2, "u"), (4, "u"), (10, "u"), (12, "u"), (14, "u")]
    for (bits, sort), color, compression in itertools.product(kinds, SHAPES, COMPRESSIONS):
        whole = bits in (8, 16)
        if not whole and (compression not in ("none", "lzw", "deflate") or color in ("cielab", "icclab")):
            continue
        if color == "palette" and bits > 8:
            continue
        for number, planar in enumerate(("contig", "separate") if SHAPES[color] > 1 else ("contig",)):
            for tiled in (False, True) if whole else (False,):
                if tiled and compression in ("lzma", "packbits"):
                    continue
                yield {
                    "bits": bits,
                    "sort": sort,
                    "color": color,
                    "compression": compression,
                    "planar": planar,
                    "tiled": tiled,
                    "order": "<>"[(tiled + number + bits // 8) % 2],
                    "predictor": whole and compression in ("lzw", "deflate", "zstd") and not tiled,
                }
    for bits, sort, compression in itertools.product((8, 16, 32, 64), "iuf", ("none", "lzw")):
        if bits > 16 or sort == "i" or (sort == "f" and bits > 8):
            for color in ("minisblack", "rgb"):
                yield {
                    "bits": bits,
                    "sort": sort,
                    "color": color,
                    "compression": compression,
                    "planar": "contig",
                    "tiled": False,
                    "order": "<",
                    "predictor": False,
                }


def stored(layout: dict[str, Any]) -> np.ndarray:
    """(H, W, C) samples as the file holds them."""
    bits, sort = layout["bits"], layout["sort"]
    rng = np.random.default_rng(bits)
    shape = (HEIGHT, WIDTH, SHAPES[layout["color"]])
    if sort == "f":
        return rng.random(shape).astype(f"f{bits // 8}")
    most = 2 ** (bits - (sort == "i"))
    values = rng.integers(0, most, shape, np.uint64).astype(
        f"{sort}{2 if 8 < bits < 16 else max(1, bits // 8)}"
    )
    if layout["color"] in ("cielab", "icclab"):  # of colours that sRGB has
        f = np.cbrt(rng.uniform(0.05, 0.95, shape) @ np.linalg.inv(TO_LINEAR).T / D50)
        lab = np.stack(
            [116 * f[..., 1] - 16, 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])], -1
        )
        half = 2 ** (bits - 1)
        ab = np.rint(lab[..., 1:] * (half / 128)).astype(int) + (
            half if layout["color"] == "icclab" else 2 * half
        )
        values = np.concatenate([np.rint(lab[..., :1] / 100 * (most - 1)), ab % (2 * half)], -1).astype(
            values.dtype
        )
    if layout["color"] == "rgb and premultiplied alpha":
        values[..., :3] = (values[..., :3].astype(float) * values[..., 3:] / (most - 1)).astype(values.dtype)
    return values


PALETTE = np.random.default_rng(7).integers(0, 256, (3, 256), np.uint16) * 257


D50 = (0.9642, 1.0, 0.8249)
TO_LINEAR = [
    [3.1338561, -1.6168667, -0.4906146],
    [-0.9787684, 1.9161415, 0.0334540],
    [0.0719453, -0.2289914, 1.4052427],
]  # XYZ of D50 to linear sRGB, with Bradford's matrix
PHOTOMETRICS = {
    "miniswhite": 0,
    "minisblack": 1,
    "grey and alpha": 1,
    "rgb": 2,
    "rgb and alpha": 2,
    "palette": 3,
    "rgb and premultiplied alpha": 2,
    "rgb and another": 2,
    "separated": 5,
    "cielab": 8,
    "icclab": 9,
}
ENCODE = {
    "none": (1, bytes),
    "lzw": (5, imagecodecs.lzw_encode),
    "deflate": (8, imagecodecs.zlib_encode),
    "packbits": (32773, imagecodecs.packbits_encode),
    "zstd": (50000, imagecodecs.zstd_encode),
    "lzma": (34925, imagecodecs.lzma_encode),
}


def file_of(layout: dict[str, Any], values: np.ndarray) -> bytes:
    """The file, written by hand: a classic TIFF in strips, a BigTIFF in tiles."""
    order, tiled, bits, color = layout["order"], layout["tiled"], layout["bits"], layout["color"]
    code, encode = ENCODE[layout["compression"]]
    down, across = (16, 32) if tiled else (10, WIDTH)
    planes = np.split(values, values.shape[2], 2) if layout["planar"] == "separate" else [values]
    parts = []
    for plane in planes:
        if tiled:
            plane = np.pad(plane, ((0, -HEIGHT % down), (0, -WIDTH % across), (0, 0)), mode="edge")
        for top, left in itertools.product(range(0, len(plane), down), range(0, plane.shape[1], across)):
            part = plane[top : top + down, left : left + across]
            if layout["predictor"]:
                part = np.diff(part, axis=1, prepend=part[:, :1] * 0)
            parts.append(encode(packed(part, bits, order)))
    size, word, room = ("Q", 16, 8) if tiled else ("I", 4, 4)
    tags = [
        (256, 4, [WIDTH]),
        (257, 4, [HEIGHT]),
        (258, 3, [bits] * values.shape[2]),
        (259, 3, [code]),
        (262, 3, [PHOTOMETRICS[color]]),
        (277, 3, [values.shape[2]]),
        (284, 3, [1 + (len(planes) > 1)]),
        (317, 3, [1 + layout["predictor"]]),
        (339, 3, ["_uif".index(layout["sort"])] * values.shape[2]),
    ]
    tags += [(322, 4, [across]), (323, 4, [down])] if tiled else [(278, 4, [down])]
    if color in EXTRAS:
        tags.append((338, 3, [EXTRAS[color]]))
    if color == "palette":
        tags.append((320, 3, PALETTE[:, : 2**bits].ravel().tolist()))
    start = np.cumsum([16] + [len(part) for part in parts]).tolist()
    tags += [
        (324 if tiled else 273, word, start[:-1]),
        (325 if tiled else 279, 4, [len(part) for part in parts]),
    ]
    entries, after = b"", b""
    outside = start[-1] + (8 + 20 * len(tags) + 8 if tiled else 2 + 12 * len(tags) + 4)
    for tag, kind, numbers in sorted(tags):
        data = struct.pack(f"{order}{len(numbers)}{ {3: 'H', 4: 'I', 16: 'Q'}[kind] }", *numbers)
        place = data.ljust(room, b"\0")
        if len(data) > room:
            place, after = struct.pack(order + size, outside + len(after)), after + data
        entries += struct.pack(f"{order}HH{size}", tag, kind, len(numbers)) + place
    mark = b"II" if order == "<" else b"MM"
    head = (
        struct.pack(f"{order}HHHQ", 43, 8, 0, start[-1])
        if tiled
        else struct.pack(f"{order}HI", 42, start[-1])
    )
    count = struct.pack(order + ("Q" if tiled else "H"), len(tags))
    return b"".join([(mark + head).ljust(16, b"\0"), *parts, count, entries, bytes(room), after])


def packed(values: np.ndarray, bits: int, order: str) -> bytes:
    """Rows of samples of `bits` each, every row from a whole byte on."""
    if bits >= 8 and bits % 8 == 0:
        return values.astype(values.dtype.newbyteorder(order)).tobytes()
    rows = values.reshape(len(values), -1, 1) >> np.arange(bits)[::-1].astype(values.dtype) & 1
    return np.packbits(rows.reshape(len(values), -1).astype(np.uint8), axis=1).tobytes()


def expected(layout: dict[str, Any], values: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """RGB and alpha in [0, 1], by the definitions of TIFF 6.0; Lab by scikit-image for D50."""
    color, most = layout["color"], 2 ** layout["bits"] - 1
    if color == "palette":
        return PALETTE.T[values[..., 0]] / 65535, None
    if color in ("cielab", "icclab"):
        half = 2 ** (layout["bits"] - 1)
        ab = values[..., 1:].astype(float)
        ab = np.where(ab >= half, ab - 2 * half, ab) if color == "cielab" else ab - half
        lab = np.concatenate([values[..., :1] * (100 / most), ab / (half / 128)], -1)
        return lab_to_srgb(lab), None
    unit = values / most
    match color:
        case "miniswhite":
            return 1 - unit.repeat(3, 2), None
        case "minisblack":
            return unit.repeat(3, 2), None
        case "grey and alpha":
            return unit[..., :1].repeat(3, 2), unit[..., 1]
        case "rgb and premultiplied alpha":
            return np.minimum(unit[..., :3] / np.maximum(unit[..., 3:], 1 / most), 1), unit[..., 3]
        case "separated":
            return (1 - unit[..., :3]) * (1 - unit[..., 3:]), None
        case "rgb and alpha":
            return unit[..., :3], unit[..., 3]
    return unit[..., :3], None


def lab_to_srgb(lab: np.ndarray) -> np.ndarray:
    """CIELab of D50 to sRGB with Bradford's matrix, as the ICC does."""
    fy = (lab[..., 0] + 16) / 116
    f = np.stack([fy + lab[..., 1] / 500, fy, fy - lab[..., 2] / 200], -1)
    xyz = np.where(f > 6 / 29, f**3, (f - 4 / 29) * 3 * (6 / 29) ** 2) * D50
    linear = (xyz @ np.transpose(TO_LINEAR)).clip(0, 1)
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def verdict(layout: dict[str, Any]) -> str:
    """ "right", "refused", or what is wrong."""
    values = stored(layout)
    data = file_of(layout, values)
    theirs = tifffile.imread(BytesIO(data))
    theirs = np.moveaxis(theirs, 0, 2) if layout["planar"] == "separate" else theirs
    assert np.array_equal(theirs.reshape(values.shape), values), f"tifffile reads {layout} otherwise"
    try:
        decoded = read(data)
    except ValueError as error:
        named = f"{layout['bits']}-bit" in str(error) and "\n" not in str(error)
        return "refused" if named else f"refused without a name: {error}"
    return right(layout, values, decoded)


def written_by_tifffile() -> Iterator[tuple[str, bytes]]:
    """JPEG and other compressions of pixels, whose bytes only a library can make."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    rgb = np.stack([x * 4, y * 6, (x + y) * 2], -1).astype(np.uint8)
    inks = np.concatenate([rgb, rgb[..., :1] // 3], -1)
    shapes = {
        "rgb": rgb,
        "ycbcr": rgb,
        "minisblack": rgb[..., 0],
        "miniswhite": rgb[..., 0],
        "separated": inks,
    }
    for photometric, planar, tile, packing in itertools.product(
        shapes,
        ("contig", "separate"),
        (None, (16, 32)),
        ("jpeg", "webp", "jpeg2000", "jpegxl", "png", "lerc"),
    ):
        values, buffer = shapes[photometric], BytesIO()
        options: dict[str, Any] = {"photometric": photometric, "compression": packing, "tile": tile}
        if packing == "jpeg":
            options["compressionargs"] = {"level": 98}
        elif photometric != "rgb" or planar != "contig":
            continue
        if values.ndim == 3:
            options["planarconfig"] = planar
            values = values if planar == "contig" else np.moveaxis(values, 2, 0)
        tifffile.imwrite(buffer, values, rowsperstrip=None if tile else 16, metadata=None, **options)
        yield f"{photometric} {planar} {tile} {packing}", buffer.getvalue()


def test_pixels_that_a_library_compressed_are_its_own_or_refused_by_name():
    refused = []
    for name, data in written_by_tifffile():
        theirs = tifffile.imread(BytesIO(data)).astype(int)
        try:
            decoded = read(data).rgb
        except ValueError as error:
            assert "layout that we do not read (8-bit" in str(error), name
            refused.append(name)
            continue
        theirs = np.moveaxis(theirs, 0, 2) if " separate " in name and theirs.ndim == 3 else theirs
        if "separated" in name:
            theirs = (255 - theirs[..., :3]) * (255 - theirs[..., 3:]) // 255
        elif theirs.ndim == 2:
            theirs = np.abs(255 * ("miniswhite" in name) - theirs)[..., None]
        assert np.abs(decoded - theirs).max() <= 4, name
    assert all("jpeg" not in name.split() or "ycbcr separate" in name for name in refused), refused


@pytest.mark.parametrize("bits", [1, 4, 8, 12, 16])
def test_bits_in_the_other_order(bits):
    """FillOrder 2: each byte has its lowest bit first."""
    layout = {
        "bits": bits,
        "sort": "u",
        "color": "rgb",
        "planar": "contig",
        "tiled": False,
        "order": "<",
        "predictor": False,
    }
    turn = np.packbits(np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1, bitorder="little"))
    for compression in ("none", "lzw", "deflate"):
        values = stored(layout | {"compression": compression})
        data = bytearray(file_of(layout | {"compression": compression}, values))
        at = int.from_bytes(data[4:8], "little")
        count = int.from_bytes(data[at : at + 2], "little")
        tags = [data[at + 2 + 12 * n :][:12] for n in range(count)]
        place = next(n for n, tag in enumerate(tags) if tag[:2] == (317).to_bytes(2, "little"))
        tags[place] = bytearray(struct.pack("<HHIHH", 266, 3, 1, 2, 0))
        tags.sort(key=lambda tag: int.from_bytes(tag[:2], "little"))
        data[at + 2 : at + 2 + 12 * count] = b"".join(tags)
        data[16:at] = turn[np.frombuffer(data[16:at], np.uint8)].tobytes()
        assert right(layout, values, read(bytes(data))) == "right", compression


def right(layout: dict[str, Any], values: np.ndarray, picture: Picture) -> str:
    rgb, alpha = expected(layout, values)
    reduced = layout["bits"] > 8 and layout["color"] in ("separated", "cielab", "icclab")  # to 8 bits before
    tolerance = {"separated": 1.5, "cielab": 6, "icclab": 6}[layout["color"]] if reduced else 0.55
    decoded = (
        np.ones(rgb.shape[:2], bool) if alpha is None else alpha > 0.1
    )  # less alpha, less of the colour is left
    if (worst := np.abs(picture.rgb - rgb * 255)[decoded].max()) > tolerance:
        return f"wrong by {worst:.1f}"
    if (alpha is None) != (picture.alpha is None):
        return "alpha comes or goes"
    if alpha is not None and picture.alpha is not None and np.abs(picture.alpha - alpha * 255).max() > 0.55:
        return "wrong alpha"
    return "right"


def table() -> list[tuple[dict[str, Any], str]]:
    return [(layout, verdict(layout)) for layout in layouts()]


def test_every_layout_is_right_or_refused_by_name():
    verdicts = table()
    wrong = [f"{layout}: {result}" for layout, result in verdicts if result not in ("right", "refused")]
    assert not wrong, f"{len(wrong)} of {len(verdicts)}\n" + "\n".join(wrong[:20])
    refused = [layout for layout, result in verdicts if result == "refused"]
    assert all(layout["sort"] != "u" or layout["bits"] > 16 for layout in refused), refused
    assert len(verdicts) - len(refused) >= 400


if __name__ == "__main__":
    counted = Counter((layout["bits"], layout["sort"], said) for layout, said in table())
    for (bits, sort, said), number in sorted(counted.items()):
        print(f"{bits:2} bits {sort}: {number:3} {said}")
    print(f"{sum(counted.values())} layouts")
