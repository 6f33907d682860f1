"""Tests of image input and output: correct or rejected, nothing lost silently."""

import re
import resource
import struct
import subprocess
import sys
import time
import zlib
from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
from PIL import Image, ImageCms, PngImagePlugin
from skimage.color import lab2rgb

from vision_core.pictures import bitmaps, decoding, gifs, icc, images, jpegs, pngs, tiff_writing
from vision_core.pictures.images import Picture, encode, read, save
from vision_core.safety import guarded, limits

RNG = np.random.default_rng(0)
COLORS = RNG.integers(0, 256, (37, 53, 3), np.uint8)
ALPHA = RNG.integers(0, 255, (37, 53), np.uint8)


def file_of(image: Image.Image, format: str = "PNG", **options) -> bytes:
    buffer = BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def png(width: int, height: int, depth: int, kind: int, rows: bytes, interlaced: bool = False) -> bytes:
    """A PNG made by hand; `rows` holds each row after its filter byte."""

    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, interlaced)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows, 9))
        + chunk(b"IEND", b"")
    )


def wide_png(values: np.ndarray) -> bytes:
    """A 16-bit PNG of uint16 (H, W) grey or (H, W, 3) RGB."""
    height, width = values.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    return png(width, height, 16, 2 if values.ndim == 3 else 0, rows)


def rgb_profile(gamma: float | np.ndarray, primaries: list[tuple[float, float, float]], name: str) -> bytes:
    """A matrix profile made by hand: the colorants' XYZ at D50, and one gamma or a table."""

    def s15(*values: float) -> bytes:
        return struct.pack(f">{len(values)}i", *(round(value * 65536) for value in values))

    values = [round(gamma * 256)] if isinstance(gamma, float) else gamma.tolist()
    curve = struct.pack(f">I{len(values)}H", len(values), *values)
    description = struct.pack(">I", len(name) + 1) + name.encode() + bytes(79)
    tags = [(b"desc", b"desc" + bytes(4) + description), (b"wtpt", b"XYZ " + bytes(4) + s15(*D50))]
    for channel, xyz in zip(b"rgb", primaries, strict=True):
        tags.append((bytes([channel]) + b"XYZ", b"XYZ " + bytes(4) + s15(*xyz)))
        tags.append((bytes([channel]) + b"TRC", b"curv" + bytes(4) + curve))
    table, body, offset = b"", b"", 128 + 4 + 12 * len(tags)
    for tag, data in tags:
        data += bytes(-len(data) % 4)
        table += tag + struct.pack(">II", offset + len(body), len(data))
        body += data
    size = offset + len(body)
    header = struct.pack(
        ">I4sI4s4s4s12s4s", size, b"\0" * 4, 0x02100000, b"mntr", b"RGB ", b"XYZ ", bytes(12), b"acsp"
    )
    header = header.ljust(68, b"\0") + s15(*D50)
    return header.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body


D50 = (0.9642, 1.0, 0.8249)
ADOBE_RGB = [(0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457)]
SRGB = [(0.43607, 0.22249, 0.01392), (0.38515, 0.71687, 0.09708), (0.14307, 0.06061, 0.71410)]


def srgb_curve(linear: np.ndarray) -> np.ndarray:
    linear = linear.clip(0, 1)
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


# What is refused, in one sentence


def refusals() -> dict[str, tuple[bytes, str]]:
    whole = encode(Picture(COLORS))
    photo = encode(Picture(COLORS), "JPEG")
    tiff = file_of(Image.fromarray(COLORS), "TIFF")
    avif = file_of(Image.fromarray(COLORS), "AVIF")
    return {
        "empty": (b"", "the image is empty"),
        "text": (b"hello, this is no image", "not an image we can read"),
        "svg": (b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>', "is an SVG drawing"),
        "half a PNG": (whole[: len(whole) // 2], "damaged or cut off"),
        "a PNG's header": (whole[:60], "damaged or cut off"),
        "half a JPEG": (photo[: len(photo) // 2], "damaged or cut off"),
        "half a TIFF": (tiff[: len(tiff) // 2], "damaged or cut off|not an image"),
        "half a WebP": (encode(Picture(COLORS), "WEBP")[:900], "damaged or cut off|not an image"),
        "half an AVIF": (avif[:-100], "damaged or cut off"),
        "float TIFF": (
            file_of(Image.fromarray(np.ones((4, 5), np.float32)), "TIFF"),
            "floating-point values",
        ),
        "32-bit TIFF": (file_of(Image.fromarray(np.ones((4, 5), np.int32)), "TIFF"), "32-bit"),
        "PostScript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "PostScript or EPS drawing"),
        "JPEG 2000": (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
        "JPEG XL": (b"\xff\x0a\xfa\x7f", "JPEG XL"),
        "Photoshop": (b"8BPS\0\1" + bytes(20), "Photoshop document"),
        "PDF": (b"%PDF-1.7\n", "PDF document"),
        "web page": (b"\n<!DOCTYPE html><html>404</html>", "web page"),
        "half a HEIC": (heic(Image.fromarray(COLORS))[:200], "HEIC|damaged"),
        "CR3": (b"\0\0\0\x18ftypcrx " + bytes(40), r"camera raw file \(CR3\): .*export a TIFF or PNG"),
        "RAF": (b"FUJIFILMCCD-RAW 0201", r"camera raw file \(RAF\)"),
        "ORF": (b"IIRO\x08\0\0\0", r"camera raw file \(ORF\)"),
        "RW2": (b"IIU\0\x08\0\0\0", r"camera raw file \(RW2\)"),
        "CR2": (raw(b"CR\x02\0"), r"camera raw file \(CR2\)"),
        "DNG": (raw(dng=True), r"camera raw file \(DNG\)"),
        "NEF": (raw(make=b"NIKON CORPORATION\0"), r"camera raw file \(NEF\)"),
    }


def heic(image: Image.Image) -> bytes:
    pillow_heif = pytest.importorskip("pillow_heif")  # writes them; the package only reads
    buffer = BytesIO()
    pillow_heif.from_pillow(image).save(buffer, quality=95)
    return buffer.getvalue()


def raw(mark: bytes = b"", dng: bool = False, make: bytes = b"") -> bytes:
    """A camera raw: a preview of 8 x 8 pixels, and the sensor's values in a directory of its own."""
    sensor = {254: 0, 256: 8, 257: 8, 258: 16, 259: 1, 262: 32803, 273: 16, 277: 1, 278: 8, 279: 128}
    preview = {254: 1, 256: 8, 257: 8, 258: 8, 259: 1, 262: 1, 273: 16, 277: 1, 278: 8, 279: 64}
    preview |= {50706: 4} if dng else {330: 16 + 128}
    entries = [struct.pack("<HHII", tag, 4, 1, value) for tag, value in preview.items()]
    first = 16 + 128 + 2 + 12 * len(sensor) + 4
    if make:
        at = first + 2 + 12 * (len(entries) + 1) + 4
        entries.insert(5, struct.pack("<HHII", 271, 2, len(make), at))
    inner = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in sensor.items())
    head = (struct.pack("<2sHI", b"II", 42, first) + mark).ljust(16, b"\0") + bytes(128)
    directory = struct.pack("<H", len(entries)) + b"".join(entries) + bytes(4) + make
    return head + struct.pack("<H", len(sensor)) + inner + bytes(4) + directory


@pytest.mark.parametrize("case", refusals())
def test_refuses_with_one_sentence(case):
    data, expected = refusals()[case]
    with pytest.raises(ValueError, match=expected) as caught:
        read(data)
    assert "\n" not in str(caught.value)


def test_refuses_paths_that_are_no_images(tmp_path):
    with pytest.raises(ValueError, match="there is no file"):
        read(tmp_path / "missing.png")
    with pytest.raises(ValueError, match="is a folder"):
        read(tmp_path)
    with pytest.raises(ValueError, match=r"cannot be read: .*null|there is no file"):
        read("a\0b.png")
    with pytest.raises(ValueError, match="not an ordinary file"):
        read("/dev/zero")
    (tmp_path / "x.png").write_bytes(b"")
    with pytest.raises(ValueError, match=r"x\.png is empty"):
        read(tmp_path / "x.png")


def test_refuses_a_file_too_large_to_be_an_image(tmp_path):
    with open(tmp_path / "film.png", "wb") as file:
        file.truncate(limits.FILE.value + 1)  # takes no room on the disk
    with pytest.raises(
        ValueError, match=r"it has .* MB; at most 512 are accepted \(VISION_CORE_MAX_FILE_MB\)"
    ):
        read(tmp_path / "film.png")


@pytest.mark.parametrize("side", [12_000, 30_000])  # Pillow itself warns of the first and stops at the second
def test_refuses_a_decompression_bomb_from_its_header(tmp_path, side):
    bomb = png(side, side, 1, 0, (b"\0" + bytes(side // 8)) * side)
    assert len(bomb) < 150_000
    (tmp_path / "bomb.png").write_bytes(bomb)
    code = """
import resource, sys
from vision_core.pictures import images, pngs
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    images.read(sys.argv[1])
except ValueError as error:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, error)
"""
    process = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "bomb.png"], capture_output=True, text=True
    )
    kilobytes, sentence = process.stdout.split(" ", 1)
    assert "megapixels" in sentence and "50" in sentence
    assert int(kilobytes) < 20_000  # decoded it would be 18 MB at one bit a pixel, 430 MB as RGB
    assert process.stderr == ""


def test_the_pages_of_a_tiff_are_not_counted():
    """200,000 directories, each a page of one pixel: to count them is quadratic and takes minutes."""
    tags = {256: 1, 257: 1, 258: 8, 259: 1, 262: 1, 273: 8, 277: 1, 278: 1, 279: 1}
    entries = b"".join(struct.pack("<HHII", tag, 3, 1, value) for tag, value in sorted(tags.items()))
    first, size = 10, 2 + len(entries) + 4
    pages = [
        struct.pack("<H", len(tags)) + entries + struct.pack("<I", first + page * size)
        for page in range(1, 200_001)
    ]
    decoded = read(struct.pack("<2sHI", b"II", 42, first) + b"\xff\0" + b"".join(pages) + bytes(2))
    assert decoded.rgb.tolist() == [[[255, 255, 255]]]
    assert decoded.notes == ("only the first of its frames is used",)


def pages_of(frames: list[tuple[Image.Image, int]]) -> bytes:
    """A TIFF of several directories, each with its NewSubfileType."""
    first, *others = [image for image, _ in frames]
    for image, kind in frames:
        image.encoderinfo = {"tiffinfo": {254: kind}}
    return file_of(first, "TIFF", tiffinfo={254: frames[0][1]}, save_all=True, append_images=others)


def test_thumbnails_levels_and_masks_are_no_pages(tmp_path):
    """NewSubfileType marks images that are neither the picture nor a page."""
    small, page, other = (
        Image.new("RGB", size, color)
        for size, color in (((5, 4), "red"), ((50, 40), "lime"), ((30, 20), "blue"))
    )
    for frames, sizes in (
        ([(small, 1), (page, 0)], [(40, 50)]),
        ([(page, 0), (small, 1), (small, 1)], [(40, 50)]),
        ([(small, 1), (page, 0), (other, 2), (small, 4)], [(40, 50), (20, 30)]),
        ([(small, 1)], [(4, 5)]),
    ):
        (tmp_path / "x.tif").write_bytes(data := pages_of(frames))
        decoded = [decode() for decode in images.tiff_pages(tmp_path / "x.tif")]
        assert [each.rgb.shape[:2] for each in decoded] == sizes
        first = read(data)
        assert np.array_equal(first.rgb, decoded[0].rgb) and bool(first.notes) == (len(sizes) > 1)


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def with_chunks(data: bytes, *chunks: bytes) -> bytes:
    """A PNG with chunks between its header and its pixels."""
    return data[:33] + b"".join(chunks) + data[33:]


def test_no_text_and_no_profile_makes_a_png_unreadable():
    whole = encode(Picture(COLORS))
    long = zlib.compress(bytes(3 << 20), 9)
    broken = bytearray(chunk(b"tEXt", b"Comment\0hello"))
    broken[-1] ^= 1
    for extra in (
        chunk(b"zTXt", b"workflow\0\0" + long),
        chunk(b"iTXt", b"workflow\0\1\0\0\0" + long),
        chunk(b"tEXt", b"Comment\0" + bytes(range(1, 256)) * 9000),
        chunk(b"iCCP", b"made up\0\0" + long),
        chunk(b"iCCP", b"cut off\0\0" + long[:99]),
        chunk(b"zTXt", b"bomb\0\0" + zlib.compress(bytes(64 << 20), 9)),
        bytes(broken),
        chunk(b"eXIf", b"no EXIF"),
    ):
        assert np.array_equal(read(with_chunks(whole, extra)).rgb, COLORS)
    big = rgb_profile(2.2, ADOBE_RGB, "Adobe RGB (1998)")
    packed = chunk(b"iCCP", b"x\0\0" + zlib.compress(big + bytes(2 << 20)))
    assert "from Adobe RGB" in read(with_chunks(whole, packed)).notes[0]  # longer than Pillow takes


def test_refuses_a_png_that_inflates_to_more_than_its_header_promises():
    rows = (b"\0" + bytes(48)) * 16
    packer = zlib.compressobj(9)
    bomb = b"".join(
        [packer.compress(rows), *(packer.compress(bytes(1 << 24)) for _ in range(6)), packer.flush()]
    )
    header = png(16, 16, 8, 2, b"")[:33]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for parts in ([bomb], [bomb[n : n + 8192] for n in range(0, len(bomb), 8192)]):
        with pytest.raises(ValueError, match="far more than the pixels that its header promises"):
            read(header + b"".join(chunk(b"IDAT", part) for part in parts) + chunk(b"IEND", b""))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # 100 MB inflated
    assert not read(png(16, 16, 8, 2, rows + bytes(100))).rgb.any()  # a little more is common and harmless


def run_length(width: int, height: int, bits: int, runs: list[int]) -> bytes:
    palette = b"".join(bytes([n, 255 - n, 2 * n, 0]) for n in range(16))
    size, start = len(runs), 54 + len(palette)
    header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, bits, 2 if bits == 4 else 1, size, 0, 0, 16, 0)
    return b"BM" + struct.pack("<IHHI", start + size, 0, 0, start) + header + palette + bytes(runs)


@pytest.mark.parametrize(
    ("bits", "runs", "rows"),
    [
        (4, [5, 0x12, 0, 0, 0, 5, 0x11, 0x23, 0x40, 0, 0, 1], [[1, 1, 2, 3, 4], [1, 2, 1, 2, 1]]),
        (4, [2, 0x12, 0, 2, 1, 0, 2, 0x33, 0, 0, 1, 0x22, 0, 1], [[2, 0, 0, 0, 0], [1, 2, 0, 3, 3]]),
        (4, [0, 0, 5, 0x45, 0, 1], [[4, 5, 4, 5, 4], [0] * 5]),  # an empty row is a row
        (8, [5, 1, 0, 0, 0, 5, 1, 1, 2, 3, 4, 0, 0, 1], [[1, 1, 2, 3, 4], [1] * 5]),
        (8, [2, 1, 0, 2, 1, 1, 2, 3, 0, 1], [[0, 0, 0, 3, 3], [1, 1, 0, 0, 0]]),
        (8, [9, 7, 0, 0, 9, 6], [[6] * 5, [7] * 5]),  # too long a run, and no end
    ],
)
def test_run_length_bitmaps(bits, runs, rows):
    expected = [[[2 * n, 255 - n, n] for n in row] for row in rows]
    assert read(run_length(5, 2, bits, runs)).rgb.tolist() == expected
    with pytest.raises(ValueError, match="runs end before the last row"):
        read(run_length(5, 2, bits, runs[:2]))


def test_a_bitmap_of_endless_runs_is_refused(monkeypatch):
    jumps = [0, 2, 0, 0] * 2000 + [0, 1]
    monkeypatch.setattr(bitmaps, "MAX_RUNS", 1000)
    assert read(run_length(5, 2, 8, jumps[-3002:])).rgb.shape == (2, 5, 3)
    with pytest.raises(ValueError, match="more than 1,004 runs"):
        read(run_length(5, 2, 8, jumps))


def test_a_gif_s_comments_are_not_read(monkeypatch):
    """Pillow joins their blocks one by one: 15 MB of them take a minute."""
    plain = file_of(Image.fromarray(COLORS).quantize(64), "GIF", transparency=3)
    at = plain.index(b"!\xf9")
    comment = b"!\xfe" + b"\xffcomment".ljust(256) * 30_000 + b"\0"
    loop = b"!\xff\x0bNETSCAPE2.0\3\1\0\0\0"
    reads = []
    monkeypatch.setattr(decoding, "_open", lambda data, open=decoding._open: reads.append(data) or open(data))
    for data in (plain, plain[:at] + comment + loop + plain[at:-1] + comment + b";"):
        decoded = read(data)
        assert np.array_equal(decoded.rgb, read(plain).rgb) and decoded.alpha is not None
    assert {len(data) for data in reads} == {len(gifs.first(plain)[0])} and decoded.notes == ()


def test_heic():
    smooth = np.stack(np.meshgrid(np.arange(0, 192, 2), np.arange(0, 192, 3)), -1).astype(np.uint8)
    smooth = np.concatenate([smooth, smooth[..., :1]], -1)
    decoded = read(heic(Image.fromarray(smooth)))
    assert np.abs(decoded.rgb.astype(int) - smooth).max() <= 6 and decoded.notes == ()


def with_scans(scans: int) -> bytes:
    """A progressive JPEG whose last scan is repeated until there are so many."""
    data = file_of(Image.new("L", (64, 64), 128), "JPEG", progressive=True, comment=b"\xff\xda" * 300)
    last = data.rindex(b"\xff\xda")
    own = len(re.findall(rb"\xff\xda", data)) - 300
    return data[:-2] + data[last:-2] * (scans - own) + data[-2:]


def test_refuses_a_jpeg_of_many_scans():
    assert (read(with_scans(jpegs.MAX_SCANS)).rgb == 128).all()
    with pytest.raises(ValueError, match="progressive JPEG of more than 100 scans"):
        read(with_scans(jpegs.MAX_SCANS + 1))


@pytest.mark.parametrize(
    ("filling", "said"),
    [
        (b"\xff" * 200_000, "bytes of nothing"),
        (b"\xff\xfe\0\2" * 60_000, "more than 50,000 segments"),
        (b"\xff\xe1\x01\x90Exif".ljust(402, b"\0") * 101, "more than 100 blocks of EXIF"),
    ],
)
def test_refuses_a_jpeg_with_a_header_of_fillings(filling, said):
    data = file_of(Image.fromarray(COLORS), "JPEG", comment=b"\xff\xda")
    with pytest.raises(ValueError, match=said):
        read(data[:2] + filling + data[2:])
    assert np.array_equal(read(data[:2] + filling[:40_200] + data[2:]).rgb, read(data).rgb)
    with pytest.raises(ValueError, match="not an image we can read"):
        read(data[:2] + filling[:40_000])


@pytest.mark.parametrize("progressive", [False, True])
def test_a_damaged_jpeg_says_so(progressive):
    noise = np.random.default_rng(0).integers(0, 256, (300, 400, 3), np.uint8)
    whole = file_of(Image.fromarray(noise), "JPEG", progressive=progressive)
    assert read(whole).notes == ()
    middle = len(whole) // 2
    for damaged in (whole[:middle] + bytes(300) + whole[middle + 300 :], whole[:middle] + b"\xff\xd9"):
        assert read(damaged).notes[0].startswith("damaged in places: ")
    assert read(whole[:-2] + b"\0\xff\xd9").notes == ()  # padded


def test_refuses_a_large_jpeg_of_fewer_scans(monkeypatch):
    monkeypatch.setattr(jpegs, "MAX_SCANNED", 30 * 64 * 64)
    assert (read(with_scans(30)).rgb == 128).all()
    with pytest.raises(ValueError, match="progressive JPEG of more than 30 scans"):
        read(with_scans(31))


def test_refuses_a_side_that_costs_more_memory_than_its_pixels():
    for width, height in ((1, 50_000_000), (100_001, 1)):
        with pytest.raises(
            ValueError, match=f"has {width:,} x {height:,} pixels; at most 100,000 a side are accepted"
        ):
            read(png(width, height, 8, 0, b""))


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize(("depth", "kind", "bits"), [(8, 2, 24), (1, 0, 1), (16, 6, 64)])
def test_refuses_a_png_that_ends_with_a_row(depth, kind, bits, interlaced):
    """Compressed whole, but of fewer rows than the header promises."""
    steps = pngs.ADAM7 if interlaced else ((0, 0, 1, 1),)
    for width, height in ((13, 9), (2, 2), (1, 3)):
        sizes = [(len(range(x, width, dx)), len(range(y, height, dy))) for x, y, dx, dy in steps]
        rows = [b"\0" + b"\xc8" * -(-w * bits // 8) for w, h in sizes for _ in range(h) if w]
        whole = png(width, height, depth, kind, b"".join(rows), interlaced)
        assert read(whole).rgb[-1, -1].any()
        with pytest.raises(ValueError, match="damaged or cut off: its pixels end before the last row"):
            read(png(width, height, depth, kind, b"".join(rows[:-1]), interlaced))


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "1", "P", "I;16"])
def test_a_black_picture_is_whole(mode):
    for size in ((1, 1), (9, 4), (1500, 1000)):
        assert not read(file_of(Image.new(mode, size))).rgb.any()


# What is read, and how


def test_sizes_from_one_pixel_to_a_thread():
    for shape in ((1, 1, 3), (1, 20_000, 3), (20_000, 1, 3)):
        rgb = RNG.integers(0, 256, shape, np.uint8)
        assert np.array_equal(read(encode(Picture(rgb))).rgb, rgb)


def test_wrong_extension_is_read_by_content(tmp_path):
    (tmp_path / "photo.jpg").write_bytes(encode(Picture(COLORS), "PNG"))
    assert np.array_equal(read(tmp_path / "photo.jpg").rgb, COLORS)


def test_sixteen_bits_are_scaled_not_clipped():
    wide = np.array([[0, 128, 257, 1000, 32768, 40000, 65535]], np.uint16)
    grey = read(wide_png(wide))
    assert grey.rgb[0, :, 0].tolist() == [round(v / 257) for v in wide[0].tolist()]
    assert grey.bit_depth == 16 and grey.notes == () and grey.kind == "grey"
    assert grey.in_8_bits().notes == ("16 bits per channel were rounded to 8",)
    color = np.stack([wide, wide[:, ::-1], wide // 2], -1)
    decoded = read(wide_png(color))
    assert decoded.bit_depth == 16
    assert np.abs(decoded.rgb.astype(float) - color / 257).max() < 1  # Pillow drops the low byte
    every = np.arange(256, dtype=np.uint16)[None] * 257
    assert read(wide_png(np.stack([every] * 3, -1))).rgb[0, :, 1].tolist() == list(range(256))
    assert read(wide_png(every)).rgb[0, :, 2].tolist() == list(range(256))


def wide_pictures() -> dict[str, bytes]:
    """The same 16-bit samples as grey, colour, each with alpha, and as a TIFF; the last sample is alpha."""
    values = RNG.integers(0, 65536, (9, 14, 4), np.uint16)
    rows = {n: values[..., :n] for n in (1, 2, 3, 4)}
    kinds = {1: 0, 2: 4, 3: 2, 4: 6}
    return {
        f"{n} samples": png(
            14, 9, 16, kinds[n], b"".join(b"\0" + row.astype(">u2").tobytes() for row in each)
        )
        for n, each in rows.items()
    }


@pytest.mark.parametrize("name", ["1 samples", "2 samples", "3 samples", "4 samples"])
def test_sixteen_bits_come_back_as_they_were(name):
    tifffile = pytest.importorskip("tifffile")
    picture = replace(
        read(wide_pictures()[name]),
        dpi=(300.0, 300.0),
        exif={306: "2020:01:02 03:04:05", 36867: "2001:01:01 00:00:00"},
    )
    assert picture.wide is not None and (picture.alpha is None) == (picture.wide.shape[2] == 3)
    assert np.array_equal(picture.rgb, np.rint(picture.wide[..., :3] / 257).astype(np.uint8))
    samples = picture.wide[..., {"1": [0], "2": [0, 3], "3": [0, 1, 2], "4": [0, 1, 2, 3]}[name[0]]]
    for format in ("PNG", "TIFF"):
        data = encode(picture, format)
        again = read(data)
        assert np.array_equal(again.wide, picture.wide) and again.kind == picture.kind
        assert again.alpha is None or np.array_equal(again.alpha, picture.alpha)
        assert again.exif == picture.exif and again.dpi == pytest.approx((300, 300), rel=1e-4)
        if format == "TIFF":  # a decoder that is not ours sees the same
            assert np.array_equal(np.squeeze(tifffile.imread(BytesIO(data))), np.squeeze(samples))
    if name == "3 samples":  # Pillow keeps the high byte of each sample
        assert np.array_equal(np.asarray(Image.open(BytesIO(encode(picture)))), picture.wide >> 8)
    assert images.loss(picture, "x.jpg") == ["16 bits per channel were rounded to 8"]
    assert images.loss(picture, "x.tif") == images.loss(picture.in_8_bits(), "x.jpg") == []


def test_what_an_edit_leaves_alone_keeps_its_sixteen_bits():
    picture = read(wide_pictures()["3 samples"])
    assert picture.wide is not None
    rgb = picture.rgb.copy()
    rgb[2:5, 3:7] = 255 - rgb[2:5, 3:7]
    edited = picture.with_rgb(rgb)
    assert edited.wide is not None and np.array_equal(edited.rgb, rgb)
    same = (rgb == picture.rgb).all(2)
    assert 0 < same.sum() < same.size and np.array_equal(edited.wide[same], picture.wide[same])
    assert (edited.wide[~same] == rgb[~same] * np.uint16(257)).all()
    halved = picture.mapped(lambda colors: colors // 2)
    assert np.array_equal(halved.wide, picture.wide // 2)
    with pytest.raises(ValueError, match="expected wide uint16"):
        replace(picture, wide=picture.wide[:-1])


def test_sixteen_bits_upright_and_through_a_profile():
    values = RNG.integers(0, 65536, (9, 14, 3), np.uint16)
    profile = rgb_profile(2.2, ADOBE_RGB, "Adobe RGB (1998)")
    whole = wide_png(values)
    packed = chunk(b"iCCP", b"x\0\0" + zlib.compress(profile))
    decoded = read(with_chunks(whole, packed, chunk(b"eXIf", orientation_block(6))))
    linear = np.linalg.solve(
        np.transpose(SRGB), np.transpose(ADOBE_RGB) @ ((values / 65535) ** 2.2).reshape(-1, 3).T
    )
    expected = np.rot90(srgb_curve(linear.T.reshape(values.shape)), -1) * 65535
    assert decoded.wide is not None and decoded.notes == (
        "colours were converted from Adobe RGB (1998) to sRGB",
    )
    assert (
        np.abs(decoded.wide - expected).max() < 64
    )  # a quarter of a step of 8 bits: the profile's numbers are rounded
    keyed = read(with_chunks(whole, chunk(b"tRNS", values[3, 4].astype(">u2").tobytes())))
    assert keyed.alpha is not None and (keyed.alpha == 0).sum() == 1 and keyed.alpha[3, 4] == 0


def orientation_block(number: int) -> bytes:
    exif = Image.Exif()
    exif[274] = number
    return exif.tobytes().removeprefix(b"Exif\0\0")


def srgb_of(linear: np.ndarray) -> np.ndarray:
    return srgb_curve(linear) * 255


P3_TO_SRGB = np.array([[1.2249, -0.2247, 0], [-0.0420, 1.0419, 0], [-0.0197, -0.0786, 1.0979]])


def test_colour_spaces_that_are_named_without_a_profile():
    """cICP, gAMA and cHRM of PNG, nclx of AVIF and HEIC, and DCF's Adobe RGB."""
    whole = encode(Picture(COLORS))
    degamma = np.where(COLORS / 255 <= 0.04045, COLORS / 255 / 12.92, ((COLORS / 255 + 0.055) / 1.055) ** 2.4)
    decoded = read(with_chunks(whole, chunk(b"cICP", bytes([12, 13, 0, 1]))))
    assert decoded.notes == ("colours were converted from Display P3 to sRGB",)
    assert np.abs(decoded.rgb - srgb_of(degamma @ P3_TO_SRGB.T)).max() < 1.5
    linear = read(with_chunks(whole, chunk(b"gAMA", struct.pack(">I", 100_000))))
    assert np.abs(linear.rgb - srgb_of(COLORS / 255)).max() <= 1 and "gamma" in linear.notes[0]
    for same in (
        [chunk(b"gAMA", struct.pack(">I", 45455))],
        [chunk(b"cICP", bytes([1, 13, 0, 1]))],
        [chunk(b"sRGB", b"\0"), chunk(b"gAMA", struct.pack(">I", 100_000))],
        [chunk(b"cHRM", struct.pack(">8I", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000))],
        [chunk(b"cICP", b"\0")],
    ):
        again = read(with_chunks(whole, *same))
        assert np.array_equal(again.rgb, COLORS) and again.notes == ()
    strange = read(with_chunks(whole, chunk(b"cICP", bytes([77, 13, 0, 1]))))
    assert strange.notes == ("its colour space (primaries 77, transfer 13) is unknown and was taken as sRGB",)
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0xA001] = 2
    adobe = read(file_of(Image.fromarray(COLORS), "WEBP", lossless=True, exif=exif))
    assert adobe.notes == ("colours were converted from Adobe RGB to sRGB",)
    expected = np.linalg.solve(
        np.transpose(SRGB), np.transpose(ADOBE_RGB) @ ((COLORS / 255) ** 2.19921875).reshape(-1, 3).T
    )
    assert np.abs(adobe.rgb - srgb_of(expected.T.reshape(COLORS.shape))).max() < 1.5


def test_bright_light_is_bent_below_white_and_the_rest_keeps_its_own():
    """PQ: 92.2 nits are 45 % of paper white, 10,000 are not beyond white; HLG grows with the signal."""
    ramp = wide_png(np.linspace(0, 65535, 512).astype(np.uint16)[None, :, None].repeat(3, 2))
    for transfer, name in ((16, "PQ"), (18, "HLG")):
        decoded = read(with_chunks(ramp, chunk(b"cICP", bytes([9, transfer, 0, 1]))))
        assert name in decoded.notes[0] and "compressed" in decoded.notes[0]
        grey = decoded.rgb[0].astype(int)
        assert (np.diff(grey[:, 0]) >= 0).all() and 240 < grey[-1, 0] < 256 and np.ptp(grey, 1).max() <= 1
        if name == "PQ":
            assert abs(grey[256, 0] - srgb_of(np.array(92.2 / 203))) < 2


@pytest.mark.parametrize("format", ["AVIF", "HEIC"])
def test_colour_space_of_a_box(format):
    image = Image.new("RGB", (64, 64), (200, 120, 40))
    data = file_of(image, "AVIF", quality=95) if format == "AVIF" else heic(image)
    plain = read(data)
    at = data.find(b"nclx")
    assert at > 0 and plain.notes == ()
    p3 = bytearray(data)
    p3[at + 4 : at + 8] = struct.pack(">HH", 12, 13)
    decoded = read(bytes(p3))
    assert decoded.notes == ("colours were converted from Display P3 to sRGB",)
    assert decoded.rgb[9, 9, 0] > plain.rgb[9, 9, 0] + 3


def with_rights(format: str, **more) -> bytes:
    exif = Image.Exif()
    exif[271], exif[306], exif[0x8298] = "Maker", "2020:01:01 00:00:00", "© Zoë Ångström".encode()
    exif.get_ifd(0x8769).update(
        {36867: "2001:02:03 04:05:06", 36881: "+01:00", 0xA431: "SERIAL-1234", 37510: b"ASCII\0\0\0note"}
    )
    exif.get_ifd(0x8825).update({1: "N", 2: (48.0, 12.0, 30.0)})
    xmp = (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="" '
        'xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:xmpRights="http://ns.adobe.com/xap/1.0/rights/" '
        'xmlns:exif="http://ns.adobe.com/exif/1.0/" exif:GPSLatitude="48,12.5N" '
        'xmpRights:WebStatement="https://example.org/a?b=1&amp;c=2"><dc:rights><rdf:Alt>'
        '<rdf:li xml:lang="x-default">CC BY &lt;4.0&gt;</rdf:li></rdf:Alt></dc:rights><dc:creator><rdf:Seq>'
        "<rdf:li>Ana</rdf:li><rdf:li>Бо</rdf:li></rdf:Seq></dc:creator></rdf:Description></rdf:RDF></x:xmpmeta>"
        '<?xpacket end="w"?>'
    ).encode()
    options: dict = {"exif": exif}
    match format:
        case "PNG":
            options["pnginfo"] = PngImagePlugin.PngInfo()
            options["pnginfo"].add_itxt("XML:com.adobe.xmp", xmp.decode(), zip=True)
        case "TIFF":
            exif[700], exif[0x8769], exif[0x8825] = xmp, exif.get_ifd(0x8769), exif.get_ifd(0x8825)
        case _:
            options["xmp"] = xmp
    return file_of(Image.fromarray(COLORS), format, **options, **more)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "TIFF", "WEBP", "AVIF"])
def test_date_author_and_rights_go_with_a_picture_and_nothing_else(format):
    picture = read(with_rights(format))
    dates = {306: "2020:01:01 00:00:00", 36867: "2001:02:03 04:05:06", 36881: "+01:00"}
    assert picture.exif == {271: "Maker", 0x8298: "© Zoë Ångström", **dates}
    for target in ("JPEG", "PNG", "TIFF", "WEBP"):
        for each in (picture, replace(picture, wide=picture.rgb.astype(np.uint16) * 257)):
            written = encode(each, target)
            again = read(written)
            assert again.exif == picture.exif and again.xmp == picture.xmp and again.xmp
            assert not any(secret in written for secret in (b"SERIAL", b"GPSLat", b"note"))
            assert not Image.open(BytesIO(written)).getexif().get_ifd(0x8825)
    text = (picture.xmp or b"").decode()
    for kept in ("CC BY &lt;4.0&gt;", "<rdf:li>Ana</rdf:li><rdf:li>Бо</rdf:li>", "a?b=1&amp;c=2"):
        assert kept in text


def test_pages_joined_into_one_tiff_keep_all_that_each_has(tmp_path):
    """Pixels of 1, 8 and 16 bits, resolution, dates and rights, also of the pages after the first."""
    grey = np.where(COLORS[..., :1] > 99, 255, 0).astype(np.uint8).repeat(3, 2)
    first = replace(read(with_rights("JPEG")), dpi=(300.0, 200.0))
    pages = [
        first,
        Picture(grey, kind="binary", dpi=(600.0, 600.0)),
        read(wide_pictures()["4 samples"]),
        first,
    ]
    with open(tmp_path / "x.tif", "xb") as file:
        tiff_writing.join(file, (encode(page, "TIFF") for page in pages))
    decoded = [decode() for decode in images.tiff_pages(tmp_path / "x.tif")]
    assert len(decoded) == len(pages)
    for page, again in zip(pages, decoded, strict=True):
        assert np.array_equal(again.rgb, page.rgb) and again.kind == page.kind
        assert again.exif == page.exif and again.xmp == page.xmp
        assert (again.wide is None) == (page.wide is None) and (again.dpi is None) == (page.dpi is None)
        assert again.dpi is None or again.dpi == pytest.approx(page.dpi, rel=1e-4)
    tifffile = pytest.importorskip("tifffile")
    assert [page.shape for page in tifffile.TiffFile(tmp_path / "x.tif").pages] == [
        (37, 53, 3),
        (37, 53),
        (9, 14, 4),
        (37, 53, 3),
    ]


def test_an_iptc_record_and_damaged_metadata():
    record = b"".join(
        b"\x1c\x02" + bytes([number]) + struct.pack(">H", len(text)) + text
        for number, text in (
            (80, b"Ana"),
            (80, "Zoë".encode()),
            (116, b"(c) Ana"),
            (55, b"20010203"),
            (60, b"040506+0100"),
            (25, b"family"),
        )
    )
    block = b"8BIM\x04\x04\0\0" + struct.pack(">I", len(record)) + record + bytes(len(record) % 2)
    segment = b"Photoshop 3.0\0" + block
    plain = file_of(Image.fromarray(COLORS), "JPEG")
    data = plain[:2] + b"\xff\xed" + struct.pack(">H", len(segment) + 2) + segment + plain[2:]
    tiff = file_of(Image.fromarray(COLORS), "TIFF", tiffinfo={33723: record})
    for each in (data, tiff):
        text = (read(each).xmp or b"").decode()
        assert all(part in text for part in ("<rdf:li>Zoë</rdf:li>", "(c) Ana", "2001-02-03T04:05:06+01:00"))
        assert "family" not in text
    author = (
        '<r:RDF xmlns:r="http://www.w3.org/1999/02/22-rdf-syntax-ns#" '
        'xmlns:dc="http://purl.org/dc/elements/1.1/"><r:Description dc:creator="%s"/></r:RDF>'
    )
    bomb = '<!DOCTYPE a [<!ENTITY b "cc">]>' + author % "&b;"
    many = "<a>" + author % "cc" + "<a/>" * 300_000 + "</a>"
    texts = [f"\ufeff{text}" for text in (author % "cc", bomb, many)]
    packets = [text.encode(code) for text in texts for code in ("utf-8", "utf-16-be")]
    for xmp in (*packets, b"<not", b"\0" * 99, "\ufeff<a/>".encode("utf-16")):
        decoded = read(file_of(Image.fromarray(COLORS), "TIFF", tiffinfo={700: xmp}))
        assert (decoded.xmp is not None) == (xmp in packets[:2]) and np.array_equal(decoded.rgb, COLORS)


def test_what_libjpeg_says_of_harmless_numbers_is_not_printed(capfd):
    data = bytearray(file_of(Image.fromarray(COLORS), "JPEG"))
    data[data.find(b"\xff\xda") + 12] = 0  # the last coefficient of a scan that is not progressive
    assert read(bytes(data)).notes == () and capfd.readouterr() == ("", "")


def test_sixteen_bit_tiff_of_either_byte_order():
    wide = RNG.integers(0, 65536, (5, 7), np.uint16)
    for mode in ("I;16", "I;16B"):
        raw = wide.astype("<u2" if mode == "I;16" else ">u2").tobytes()
        data = file_of(Image.frombytes(mode, (7, 5), raw), "TIFF")
        assert np.array_equal(read(data).rgb[..., 0], np.rint(wide / 257).astype(np.uint8))


def test_twelve_bit_tiff():
    """Two pixels, 4095 and 2048, packed into three bytes after a directory of ten entries."""
    tags = {256: 2, 257: 1, 258: 12, 259: 1, 262: 1, 273: 134, 277: 1, 278: 1, 279: 3, 296: 1}
    entries = b"".join(struct.pack("<HHIHH", tag, 3, 1, value, 0) for tag, value in tags.items())
    data = b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4) + b"\xff\xf8\x00"
    decoded = read(data)
    assert decoded.rgb[0, :, 0].tolist() == [255, 128] and decoded.bit_depth == 12


def test_lab_tiff():
    """CIELAB as TIFF holds it: white, and a colour worked out by scikit-image."""
    values = np.array([[[255, 0, 0], [150, 30, 226]]], np.uint8)  # L = 100, and L = 58.8, a = 30, b = -30
    decoded = read(file_of(Image.frombytes("LAB", (2, 1), values.tobytes()), "TIFF"))
    expected = lab2rgb([[[100.0, 0, 0], [150 / 2.55, 30, -30]]])
    assert np.abs(decoded.rgb / 255 - expected).max() < 0.03 and decoded.dpi is None


def test_eight_bit_images_of_sixteen_pixels_have_eight_bits():
    """A header full of sixteens is no sign of 16 bits."""
    for side in (16, 160):
        assert read(encode(Picture(np.zeros((side, side, 3), np.uint8)))).bit_depth == 8


def test_cmyk_jpeg():
    inks = np.zeros((8, 32, 4), np.uint8)
    for n in range(4):
        inks[:, 8 * n : 8 * n + 8, n] = 255  # cyan, magenta, yellow, black
    decoded = read(file_of(Image.fromarray(inks, "CMYK"), "JPEG", quality=100))
    expected = [(0, 255, 255), (255, 0, 255), (255, 255, 0), (0, 0, 0)]
    assert np.abs(decoded.rgb[4, 4::8].astype(int) - expected).max() <= 3
    assert decoded.notes == ("CMYK without a profile was converted by formula",)


def test_palette_with_transparency():
    indexed = Image.fromarray(np.array([[0, 1, 2]], np.uint8), "P")
    indexed.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    decoded = read(file_of(indexed, "PNG", transparency=bytes([0, 128, 255])))
    assert decoded.rgb[0].tolist() == [[255, 0, 0], [0, 255, 0], [0, 0, 255]]
    assert decoded.alpha is not None and decoded.alpha[0].tolist() == [0, 128, 255]
    assert read(file_of(indexed, "PNG", transparency=2)).alpha[0].tolist() == [255, 255, 0]


def test_grey_with_alpha_one_bit_and_opaque_alpha():
    both = np.stack([COLORS[..., 0], ALPHA], -1)
    decoded = read(file_of(Image.fromarray(both, "LA")))
    assert np.array_equal(decoded.alpha, ALPHA) and np.array_equal(decoded.rgb[..., 2], COLORS[..., 0])
    assert read(file_of(Image.new("1", (9, 4), 1))).rgb.min() == 255
    opaque = Image.fromarray(COLORS)
    opaque.putalpha(255)
    assert read(file_of(opaque)).alpha is None


@pytest.mark.parametrize("format", ["GIF", "WEBP", "TIFF", "PNG"])
def test_first_frame_of_several(format):
    frames = [Image.new("RGB", (20, 10), color) for color in ("red", "lime", "blue")]
    options = {"lossless": True} if format == "WEBP" else {}
    decoded = read(file_of(frames[0], format, save_all=True, append_images=frames[1:], **options))
    assert np.array_equal(decoded.rgb, np.full((10, 20, 3), (255, 0, 0)))
    assert decoded.notes == ("only the first of its frames is used",)


def test_avif_and_a_camera_s_pair_of_pictures():
    pair = file_of(
        Image.new("RGB", (20, 10), "red"), "MPO", save_all=True, append_images=[Image.new("RGB", (20, 10))]
    )
    for data in (pair, file_of(Image.new("RGB", (20, 10), "red"), "AVIF")):
        decoded = read(data)
        assert np.abs(decoded.rgb.astype(int) - (255, 0, 0)).max() <= 3 and decoded.notes == ()


def test_an_avif_is_cropped_as_its_box_says():
    """The box is put behind the last property, and what stands after it is moved."""
    image = Image.fromarray(np.arange(64 * 64, dtype=np.uint16).reshape(64, 64).astype(np.uint8))
    data = file_of(image.convert("RGB"), "AVIF", quality=95)
    box = struct.pack(">I4s8i", 40, b"clap", 40, 1, 20, 1, -4, 2, 6, 1)  # size and shift of the middle
    start = data.find(b"mdat") + 4
    cropped = data.replace(struct.pack(">I", start), struct.pack(">I", start + len(box)))
    at = cropped.find(b"ipco") - 4
    end = at + int.from_bytes(cropped[at : at + 4])
    cropped = cropped[:end] + box + cropped[end:]
    for name in (b"meta", b"iprp", b"ipco"):
        at = cropped.find(name) - 4
        size = int.from_bytes(cropped[at : at + 4]) + len(box)
        cropped = cropped[:at] + struct.pack(">I", size) + cropped[at + 4 :]
    assert np.array_equal(read(cropped).rgb, read(data).rgb[28:48, 10:50])


def test_a_heic_whose_items_have_no_readable_kind_is_refused():
    """pi_heif crashes on it; a guarded process keeps the crash from the tests."""
    image = Image.fromarray(COLORS)
    image.info["exif"] = b"Exif\0\0II*\0\x08\0\0\0\0\0\0\0\0\0"
    data = heic(image)
    damaged = data.replace(b"\0\0Exif", b"\0\0E\x80if", 1)
    assert damaged != data and read(data)
    with pytest.raises(ValueError, match="damaged or cut off"):
        guarded.read(damaged)


SIZES = [(1, 1), (1, 9), (64, 64), (65, 33), (700, 130)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L"])
def test_an_avif_has_the_size_of_what_is_coded(size, mode):
    image = Image.new(mode, size, 99)
    for options in ({}, {"save_all": True, "append_images": [image.copy()], "speed": 10}):
        assert read(file_of(image, "AVIF", **options)).rgb.shape[1::-1] == size


@pytest.mark.parametrize("promised", [(6000, 6000), (63, 64), (64, 128), (1, 1)])
def test_an_avif_that_promises_another_size_than_is_coded_is_refused(promised):
    """libavif scales what it finds to the promised size without a word."""
    data = bytearray(file_of(Image.new("RGB", (64, 64)), "AVIF"))
    at = data.find(b"ispe") + 8
    data[at : at + 8] = struct.pack(">II", *promised)
    with pytest.raises(ValueError, match=r"header promises {} x {} .* 64 x 64 are coded".format(*promised)):
        read(bytes(data))


UPRIGHT = {  # EXIF's table: what undoes each orientation
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: np.rot90(a),
}


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize("mode", ["RGB", "I;16"])
def test_exif_orientation(orientation, mode):
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = (
        Image.fromarray(COLORS) if mode == "RGB" else Image.fromarray(COLORS[..., 0].astype(np.uint16) * 257)
    )
    decoded = read(file_of(image, "PNG", exif=exif))
    expected = UPRIGHT[orientation](COLORS)
    expected = expected if mode == "RGB" else np.repeat(expected[..., :1], 3, -1)
    assert np.array_equal(decoded.rgb, expected)
    assert np.array_equal(read(encode(decoded)).rgb, expected)  # not turned twice


# Colour profiles


def test_wide_gamut_colors_become_srgb():
    """Adobe RGB by hand, against the matrices and curves worked out in numpy."""
    levels = np.array([0, 40, 90, 128, 180, 200, 255], np.uint8)
    rgb = np.stack(np.meshgrid(levels, levels, levels), -1).reshape(1, -1, 3)
    decoded = read(
        file_of(
            Image.fromarray(rgb), "PNG", icc_profile=rgb_profile(563 / 256, ADOBE_RGB, "Adobe RGB (1998)")
        )
    )
    xyz = (rgb / 255) ** (563 / 256) @ np.array(ADOBE_RGB)
    linear = xyz @ np.linalg.inv(np.array(SRGB))
    inside = ((linear > 0) & (linear < 1)).all(-1)
    assert inside.sum() > 100
    error = np.abs(decoded.rgb - 255 * srgb_curve(linear))[inside]
    assert error.max() < 1.6
    assert np.abs(decoded.rgb.astype(int) - rgb).max() > 20  # it did something
    assert decoded.notes == ("colours were converted from Adobe RGB (1998) to sRGB",)
    again = read(encode(decoded))  # its own profile is now sRGB, and nothing moves any more
    assert np.array_equal(again.rgb, decoded.rgb) and again.notes == ()


def test_a_profile_that_is_srgb_moves_no_pixel():
    every = RNG.integers(0, 256, (200, 300, 3), np.uint8)
    coded = np.linspace(0, 1, 256)
    linear = np.where(coded <= 0.04045, coded / 12.92, ((coded + 0.055) / 1.055) ** 2.4)
    table = np.rint(linear * 65535).astype(
        np.uint16
    )  # a coarse sRGB: converted, some pixels would be off by one
    nearly = [tuple(1.0003 * value for value in xyz) for xyz in SRGB]
    for profile in (
        ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(),
        rgb_profile(table, nearly, "camera"),
    ):
        decoded = read(file_of(Image.fromarray(every), "PNG", icc_profile=profile))
        assert np.array_equal(decoded.rgb, every) and decoded.notes == () and decoded.icc is not None
    plain = rgb_profile(2.2, SRGB, "sRGB only by name")
    decoded = read(file_of(Image.fromarray(every), "PNG", icc_profile=plain))
    assert np.abs(decoded.rgb.astype(int) - every).max() > 1
    assert decoded.notes == ("colours were converted from sRGB only by name to sRGB",)


def test_a_damaged_profile_is_told_and_ignored():
    decoded = read(file_of(Image.fromarray(COLORS), "PNG", icc_profile=b"no profile at all"))
    assert np.array_equal(decoded.rgb, COLORS)
    assert decoded.notes == ("its colour profile is damaged and was ignored",) and decoded.icc is None
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    decoded = read(file_of(Image.fromarray(COLORS).convert("L"), "PNG", icc_profile=srgb))
    assert decoded.notes == ("its colour profile is for RGB and was ignored",) and decoded.icc is None


# What is written


@pytest.mark.parametrize("suffix", [".png", ".webp", ".tif", ".TIFF"])
@pytest.mark.parametrize("alpha", [None, ALPHA])
def test_lossless_round_trip_is_exact(tmp_path, suffix, alpha):
    save(Picture(COLORS, alpha), tmp_path / f"x{suffix}")
    decoded = read(tmp_path / f"x{suffix}")
    assert np.array_equal(decoded.rgb, COLORS)  # also where it is transparent
    assert decoded.alpha is None if alpha is None else np.array_equal(decoded.alpha, alpha)


def test_bmp_and_jpeg_round_trip():
    assert np.array_equal(read(encode(Picture(COLORS), "BMP")).rgb, COLORS)
    smooth = np.full((16, 16, 3), (200, 100, 50), np.uint8)
    assert np.abs(read(encode(Picture(smooth), "JPEG", 95)).rgb.astype(int) - smooth).max() <= 2


def test_resolution_author_and_profile_stay_and_the_place_goes():
    exif = Image.Exif()
    exif[0x010F], exif[0x8298] = "Maker", "© Zoë Ångström"
    exif.get_ifd(0x8825).update({1: "N", 2: (48.0, 12.0, 30.0)})  # GPS
    exif[0x8825] = {1: "N", 2: (48.0, 12.0, 30.0)}
    exif[0x8298] = "© Zoë Ångström".encode("latin-1")
    profile = rgb_profile(2.2, ADOBE_RGB, "Adobe RGB (1998)")
    data = file_of(Image.fromarray(COLORS), "JPEG", exif=exif, dpi=(300, 300), icc_profile=profile)
    assert Image.open(BytesIO(data)).getexif().get_ifd(0x8825)  # the place was in there
    picture = read(data)
    for format in ("PNG", "JPEG", "TIFF", "WEBP"):
        written = encode(picture, format)
        again = read(written)
        assert again.exif == {0x010F: "Maker", 0x8298: "© Zoë Ångström"}
        assert again.icc == picture.icc and again.icc is not None
        assert format == "WEBP" or again.dpi == pytest.approx((300, 300), abs=0.1)
        assert not Image.open(BytesIO(written)).getexif().get_ifd(0x8825)


def test_equal_pictures_are_equal_files(tmp_path):
    code = (
        "import sys; from vision_core.pictures import images;"
        "sys.stdout.buffer.write(images.encode(images.read(sys.argv[1])))"
    )
    data = file_of(Image.fromarray(COLORS), "PNG", icc_profile=rgb_profile(1.8, ADOBE_RGB, "X"))
    (tmp_path / "in.png").write_bytes(data)
    here = encode(read(data))
    while time.time() % 1 < 0.1:  # another second, for a profile could hold the time
        time.sleep(0.05)
    time.sleep(1 - time.time() % 1)
    there = subprocess.run([sys.executable, "-c", code, tmp_path / "in.png"], capture_output=True, check=True)
    assert there.stdout == here


def test_impossible_resolutions_are_dropped():
    for dpi in ((0.01, 0.01), (10_000_000, 10_000_000)):
        decoded = read(file_of(Image.fromarray(COLORS), "PNG", dpi=dpi))
        assert decoded.dpi is None and encode(decoded, "JPEG")


@pytest.mark.parametrize("format", ["JPEG", "BMP"])
def test_transparency_is_never_lost_silently(tmp_path, format):
    with pytest.raises(ValueError, match="cannot hold transparency"):
        save(Picture(COLORS, ALPHA), tmp_path / f"x.{format.lower()}")
    assert list(tmp_path.iterdir()) == []


def test_refuses_what_a_format_cannot_be(tmp_path):
    for path in ("x.gif", "x", "x.svg"):
        with pytest.raises(ValueError, match="cannot save an image as"):
            save(Picture(COLORS), tmp_path / path)
    with pytest.raises(ValueError, match="cannot save as 'jpg'"):
        encode(Picture(COLORS), "jpg")
    with pytest.raises(ValueError, match="quality is 0"):
        encode(Picture(COLORS), "JPEG", quality=0)
    long = Picture(np.zeros((1, 70_000, 3), np.uint8))
    for format in ("JPEG", "WEBP"):
        with pytest.raises(ValueError, match="pixels a side, not 70,000"):
            encode(long, format)
    assert read(encode(long, "TIFF")).rgb.shape == (1, 70_000, 3)


def test_a_picture_is_made_of_the_right_arrays():
    with pytest.raises(ValueError, match=r"expected uint8 \(H, W, 3\), got float64"):
        Picture(COLORS / 255)
    with pytest.raises(ValueError, match="expected alpha uint8"):
        Picture(COLORS, ALPHA[:5])
    with pytest.raises(ValueError, match="expected uint8"):
        Picture(COLORS).with_rgb(COLORS[:5])


def test_a_full_disk_keeps_the_old_file(tmp_path):
    """The kernel refuses to let the new file grow, as a full disk does."""
    old = tmp_path / "x.png"
    save(Picture(np.zeros((4, 4, 3), np.uint8)), old)
    before = old.read_bytes()

    def full_disk() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

    code = f"""
import signal, numpy as np
from vision_core.pictures import images, pngs
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
noise = np.random.default_rng(0).integers(0, 256, (200, 200, 3), np.uint8)
try:
    images.save(images.Picture(noise), {str(old)!r})
except OSError as error:
    print(error.filename)
"""
    process = subprocess.run(
        [sys.executable, "-c", code], preexec_fn=full_disk, capture_output=True, text=True
    )
    assert process.stdout.strip() == str(old), process.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["x.png"] and old.read_bytes() == before


def test_grey_takes_8_bits_and_black_and_white_1_where_the_pixels_still_allow_it():
    grey = np.repeat(COLORS[..., :1], 3, 2)
    bits = np.where(grey > 128, 255, 0).astype(np.uint8)
    alpha = np.full(grey.shape[:2], 7, np.uint8)
    modes = {"PNG": "1", "TIFF": "1", "BMP": "1", "JPEG": "L", "WEBP": "RGB"}
    for format, mode in modes.items():
        with Image.open(BytesIO(encode(Picture(bits, kind="binary", dpi=(300, 300)), format))) as image:
            assert image.mode == mode
            assert format == "JPEG" or np.array_equal(image.convert("RGB"), bits)
    for rgb, kind, mode in ((grey, "binary", "L"), (grey, "grey", "L"), (COLORS, "grey", "RGB")):
        data = encode(Picture(rgb, kind=kind, icc=icc.srgb_profile()), "TIFF")
        with Image.open(BytesIO(data)) as image:
            assert image.mode == mode and ("icc_profile" in image.info) == (mode == "RGB")
        assert np.array_equal(images.read(data).rgb, rgb)
        assert images.read(data).kind == ("grey" if mode == "L" else "color")
    clear = images.read(encode(Picture(bits, alpha, kind="binary"), "PNG"))
    assert np.array_equal(clear.rgb, bits) and clear.alpha is not None and (clear.alpha == 7).all()
    assert images.read(encode(Picture(bits, kind="binary"), "PNG")).kind == "binary"


def test_shrinking_keeps_the_sides_in_proportion():
    y, x = np.mgrid[:600, :900] / 900
    rgb = np.stack([255 * x, 255 * y, 0 * x], -1).astype(np.uint8)
    small = images.shrink(rgb, 300)
    assert small.shape == (200, 300, 3) and small.dtype == np.uint8
    assert np.abs(small.astype(float) - rgb[1::3, 1::3]).max() <= 1  # the middle of each 3 x 3
    assert images.shrink(rgb, 900) is rgb
    assert images.shrink(np.zeros((1, 5000, 3), np.uint8), 100).shape == (1, 100, 3)


def test_tensors_and_back():
    tensor = images.to_tensor(COLORS[:, ::-1])  # a view with a negative stride
    assert tensor.shape == (1, 3, 37, 53) and 0 <= tensor.min() and tensor.max() <= 1
    assert tensor[0, 1, 3, 5].item() == pytest.approx(COLORS[3, -6, 1] / 255)
    assert np.array_equal(images.from_tensor(tensor), COLORS[:, ::-1])
    assert images.from_tensor(tensor * 3 - 1).min() == 0
    with pytest.raises(ValueError, match=r"expected \(1, 3, H, W\)"):
        images.from_tensor(tensor[0])
