"""Tests of PDF pages: exact pixels of scans, rendering with notes, damage."""

import struct
import sys
import zlib
from pathlib import Path

import numpy as np
import pdf_files
import pikepdf
import pypdfium2
import pytest
from pdf_files import BITS, GREY, HEIGHT, POINT, RGB, WIDTH, coded, encoded, grey3, page, scan, stream
from pikepdf import Array, Dictionary, Name, Stream
from PIL import Image

from vision_core.pictures import documents, images
from vision_core.safety import guarded

WIDE, TALL = WIDTH * POINT, HEIGHT * POINT


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "page.pdf"


def put_back(path: Path, picture: images.Picture) -> Path:
    """The PDF with another picture on its page."""
    part, target = path.with_name("part.png"), path.with_name("out.pdf")
    images.save(picture, part)
    documents.write(target, {1: part}, path)
    return target


@pytest.mark.parametrize("kind", pdf_files.KINDS)
def test_a_scan_gives_its_own_pixels_and_a_picture_comes_back_in_its_place(path, kind):
    expected = pdf_files.make(path, kind)
    decoded = documents.read(path, 1)
    assert np.array_equal(decoded.rgb, expected)
    assert decoded.notes == (("16 bits per channel were rounded to 8",) if kind == "16 bits" else ())
    bilevel = ("1 bit", "1 bit negative", "stencil", "Group 4")
    grey = ("grey", "grey negative", "16 bits", "grey JPEG")
    assert decoded.kind == ("binary" if kind in bilevel else "grey" if kind in grey else "color")
    dpi = 75 if kind == "in a user unit of two" else 150
    assert decoded.dpi == pytest.approx((dpi, dpi), abs=0.1)
    again = documents.read(target := put_back(path, decoded.with_rgb(255 - decoded.rgb)), 1)
    assert np.array_equal(again.rgb, 255 - expected) and again.kind == decoded.kind and not again.notes
    with pikepdf.open(path) as before, pikepdf.open(target) as after:
        for key in ("/MediaBox", "/CropBox", "/Rotate", "/UserUnit"):
            assert before.pages[0].get(key) == after.pages[0].get(key)
        (image,) = after.pages[0].get_images().values()
        assert (image.Height, image.Width) == expected.shape[:2]


def test_a_soft_mask_and_four_inks_are_shown_as_a_reader_shows_them(path):
    alpha = np.tile(np.arange(WIDTH, dtype=np.uint8) * 2, (HEIGHT, 1))
    page(path, lambda pdf: {"I": stream(pdf, RGB, SMask=stream(pdf, alpha, Name.DeviceGray))})
    share = alpha[..., None] / 255
    assert np.abs(documents.read(path, 1).rgb - (RGB * share + 255 * (1 - share))).max() <= 1.5
    data = encoded(Image.fromarray(RGB).convert("CMYK"), "JPEG", quality=95)
    inverted = {"Decode": Array([1, 0] * 4)}  # as Photoshop and Pillow write it
    page(path, lambda pdf: {"I": coded(pdf, data, Name.DCTDecode, Name.DeviceCMYK, **inverted)})
    decoded = documents.read(path, 1).rgb
    assert np.corrcoef(decoded.ravel(), RGB.ravel())[0, 1] > 0.9


def test_jbig2(path):
    """A region that is packed as Group 4 is, without a header, as PDFs hold it."""

    def segment(number: int, kind: int, data: bytes) -> bytes:
        return struct.pack(">IBBBI", number, kind, 0, 1, len(data)) + data

    whole = segment(0, 48, struct.pack(">IIIIBH", WIDTH, HEIGHT, 0, 0, 0, 0))
    first = len(whole)
    whole += segment(1, 38, struct.pack(">IIIIBB", WIDTH, HEIGHT, 0, 0, 0, 1) + pdf_files.group4(BITS))
    for data in (whole, whole[:first], whole[:-20]):
        page(path, lambda pdf: {"I": coded(pdf, data, Name.JBIG2Decode, Name.DeviceGray, BitsPerComponent=1)})  # noqa: B023
        if data is whole:
            decoded = documents.read(path, 1)
            assert np.array_equal(decoded.rgb, grey3(np.where(BITS, 0, 255).astype(np.uint8)))
            assert decoded.kind == "binary"
        else:
            with pytest.raises(ValueError, match=r"page 1 of .* is damaged: the JBIG2 data"):
                documents.read(path, 1)


def book(path: Path) -> None:
    """Two scans with invisible text, bookmarks, title, author, language, an attachment; shared resources."""
    with pikepdf.new() as pdf:
        font = Dictionary(Type=Name.Font, Subtype=Name.Type1, BaseFont=Name.Helvetica)
        scans = Dictionary(A=stream(pdf, GREY, Name.DeviceGray), B=stream(pdf, 255 - GREY, Name.DeviceGray))
        resources = pdf.make_indirect(Dictionary(XObject=scans, Font=Dictionary(F=font)))
        for name in (b"A", b"B"):
            text = b"BT 3 Tr /F 9 Tf 9 30 Td (words of %s) Tj ET" % name
            content = b"q %f 0 0 %f 0 0 cm /%s Do Q %s" % (WIDE, TALL, name, text)
            entries = Dictionary(Type=Name.Page, MediaBox=Array([0, 0, WIDE, TALL]), Resources=resources)
            entries.Contents = pdf.make_stream(content)
            pdf.pages.append(pikepdf.Page(pdf.make_indirect(entries)))
        with pdf.open_outline() as outline:
            outline.root.append(pikepdf.OutlineItem("Chapter 1", 0))
        pdf.docinfo["/Title"], pdf.docinfo["/Author"] = "A book", "Nobody"
        pdf.Root.Lang = pikepdf.String("de")
        pdf.attachments["notes.txt"] = b"notes"
        pdf.save(path, encryption=pikepdf.Encryption(owner="secret", user=""))


def test_what_else_a_book_holds_stays_and_other_pages_are_as_they_were(path):
    book(path)
    decoded = documents.read(path, 2)
    assert np.array_equal(decoded.rgb, grey3(255 - GREY)) and not decoded.notes
    part, target = path.with_name("2.png"), path.with_name("out.pdf")
    images.save(decoded.with_rgb(decoded.rgb // 2), part)
    for name in ("out.pdf", "again.pdf"):
        documents.write(path.with_name(name), {1: part, 2: part}, path, unchanged={1})
    assert target.read_bytes() == path.with_name("again.pdf").read_bytes()
    assert np.array_equal(documents.read(target, 1).rgb, grey3(GREY))
    assert np.array_equal(documents.read(target, 2).rgb, grey3((255 - GREY) // 2))
    text = pypdfium2.PdfDocument(target)
    assert [text[n].get_textpage().get_text_bounded() for n in (0, 1)] == ["words of A", "words of B"]
    with pikepdf.open(path) as before, pikepdf.open(target) as pdf:
        scans = [one.pages[0].Resources.XObject.A.read_raw_bytes() for one in (before, pdf)]
        assert scans[0] == scans[1]
        assert [str(pdf.docinfo[key]) for key in ("/Title", "/Author")] == ["A book", "Nobody"]
        assert str(pdf.Root.Lang) == "de"
        with pdf.open_outline() as outline:
            assert [item.title for item in outline.root] == ["Chapter 1"]
        assert pdf.attachments["notes.txt"].get_file().read_bytes() == b"notes"
        assert len(pdf.pages[1].Resources.XObject) == 1  # the old scan is not carried along
    assert documents.lost(path, target) == ["the result is not encrypted as the source is"]
    assert documents.lost(path, path.with_name("o.tif")) == [
        "not in a TIF: text, bookmarks, title and author, attachments of the PDF"
    ]


def letter(path: Path, content: bytes, **keys: object) -> Path:
    """An A4 page of real text, with whatever else."""
    lines = (b"BT /F1 9 Tf 60 %d Td (a letter in nine point type) Tj ET" % (700 - 14 * n) for n in range(20))
    text = b" ".join(lines)
    return page(path, scan(RGB[:48, :48]), text + content, (0, 0, 595, 842), **keys)


@pytest.mark.parametrize(
    ("content", "dpi"),
    [
        (b"", 300),
        (b" q 48 0 0 48 40 760 cm /I Do Q", 300),  # a logo of 72 dpi
        (b" q 3 0 0 3 40 760 cm /I Do Q", 300),  # of 1,152
        (b" q 595 0 0 842 0 0 cm /I Do Q", 300),  # over all of the text, at 6 x 4 dpi: drawn as it is
    ],
)
def test_a_small_picture_does_not_set_the_resolution_of_a_page_of_text(path, content, dpi):
    decoded = documents.read(letter(path, content), 1)
    if b"595 0 0 842" in content:
        assert decoded.rgb.shape == (48, 48, 3) and not decoded.notes  # nothing of the text can be seen
    else:
        assert decoded.notes == (f"drawn at {dpi} dpi",) and decoded.rgb.shape == (3508, 2479, 3)
        assert 0.001 < (decoded.rgb < 128).mean() < 0.05


def test_text_over_a_scan_is_drawn_at_the_resolution_of_the_scan(path):
    """All but the text are the scan's own pixels."""
    stamp = b"q %f 0 0 %f 0 0 cm /I Do Q BT /F1 9 Tf 10 5 Td (stamp) Tj ET" % (WIDE / 2, TALL / 2)
    decoded = documents.read(page(path, scan(), stamp, (0, 0, WIDE / 2, TALL / 2)), 1)
    assert decoded.notes == ("drawn at 300 dpi",) and decoded.rgb.shape == RGB.shape
    same = (decoded.rgb == RGB).all(2)
    assert same[:60].all() and 0.7 < same.mean() < 1


def test_a_mask_finer_than_its_picture_sets_the_resolution(path):
    """As scanning programs pack books: coarse paper, and ink as a coarse picture with a fine mask."""
    ink = np.where(BITS, 255, 0).astype(np.uint8)

    def draw(pdf: pikepdf.Pdf) -> dict:
        mask = stream(pdf, ink, Name.DeviceGray)
        paper = stream(pdf, np.full((30, 22, 3), 200, np.uint8))
        return {"P": paper, "I": stream(pdf, np.zeros((15, 11, 3), np.uint8), SMask=mask)}

    page(path, draw, b"q %f 0 0 %f 0 0 cm /P Do /I Do Q" % (WIDE, TALL))
    decoded = documents.read(path, 1)
    assert np.array_equal(decoded.rgb, grey3(np.where(BITS, 0, 200).astype(np.uint8)))


def test_a_page_without_scans_that_would_be_too_large_is_drawn_smaller_and_says_so(path):
    page(path, scan(), b"0 0 100 100 re f", (0, 0, 7200, 7200))
    decoded = documents.read(path, 1, max_pixels=1_000_000)
    (note,) = decoded.notes
    assert "instead of 300 dpi, within 1 megapixels" in note and 0.98e6 < decoded.rgb[..., 0].size <= 1e6
    page(path, scan())
    with pytest.raises(ValueError, match=r"page 1 of .* has 110 x 150 pixels, .* at most 0\.01 are accepted"):
        documents.read(path, 1, max_pixels=10_000)


@pytest.mark.parametrize("unit", [0, -1, 1e-9, 10**12, Name.A])
def test_a_unit_that_is_none_is_named(path, unit):
    page(path, scan())
    with pikepdf.open(path, allow_overwriting_input=True) as pdf:
        pdf.pages[0].obj.UserUnit = unit
        pdf.save(path)
    decoded = documents.read(path, 1)
    assert (
        decoded.dpi == pytest.approx((150, 150), abs=0.1)
        and "points of 1/72 inch were assumed" in decoded.notes[0]
    )


def test_a_page_of_kilometres_names_a_resolution_that_is_not_zero_and_keeps_none(path):
    page(path, lambda pdf: {}, b"0 0 100 100 re f", (0, 0, 1e7, 1e7))
    decoded = documents.read(path, 1, max_pixels=1_000_000)
    assert decoded.dpi is None and "drawn at 0.0072 dpi instead of 300 dpi" in decoded.notes[0]


def test_form_fields_and_annotations_are_drawn_and_become_part_of_a_new_picture(path):
    def box(pdf: pikepdf.Pdf, content: bytes) -> Stream:
        decoded = pdf.make_stream(content)
        decoded.Type, decoded.Subtype, decoded.BBox = Name.XObject, Name.Form, Array([0, 0, 20, 20])
        return decoded

    page(path, scan())
    with pikepdf.open(path, allow_overwriting_input=True) as pdf:
        marks = []
        for kind, left in (("Widget", 5), ("Square", 30)):
            look = Dictionary(N=box(pdf, b"1 0 0 rg 0 0 20 20 re f"))
            mark = Dictionary(Type=Name.Annot, Subtype=Name(f"/{kind}"), AP=look, F=4)
            mark.Rect = Array([left, 5, left + 20, 25])
            marks.append(pdf.make_indirect(mark))
        marks[0].FT, marks[0].T, marks[0].V = Name.Tx, pikepdf.String("field"), pikepdf.String("x")
        unseen = Dictionary(Type=Name.Annot, Subtype=Name.Widget, FT=Name.Sig, Rect=Array([0, 0, 0, 0]))
        hidden = Dictionary(Type=Name.Annot, Subtype=Name.Square, F=2, Rect=Array([0, 0, 9, 9]))
        pdf.pages[0].Annots = Array([pdf.make_indirect(unseen), pdf.make_indirect(hidden)])
        pdf.save(path)
        assert np.array_equal(documents.read(path, 1).rgb, RGB)  # nothing of these can be seen
        link = Dictionary(Type=Name.Annot, Subtype=Name.Link, Rect=Array([0, 0, 5, 5]))
        pdf.pages[0].Annots = Array([*marks, pdf.make_indirect(link)])
        pdf.Root.AcroForm = Dictionary(Fields=Array([marks[0]]))
        pdf.save(path)
    decoded = documents.read(path, 1)
    assert decoded.notes == ("form fields and annotations are part of the picture", "drawn at 300 dpi")
    for left in (5, 30):
        columns = slice(int((left + 1) * 300 / 72), int((left + 19) * 300 / 72))
        red = decoded.rgb[-int(24 * 300 / 72) : -int(6 * 300 / 72), columns]
        assert (red == [255, 0, 0]).all()
    with pikepdf.open(put_back(path, decoded)) as pdf:
        assert [str(mark.Subtype) for mark in pdf.pages[0].Annots] == ["/Link"]
        assert not len(pdf.Root.AcroForm.Fields)


def damaged(data: bytes, how: str) -> bytes:
    middle = len(data) // 2
    return data[:middle] if how == "cut off" else data[:middle] + bytes(40) + data[middle + 40 :]


NOISE = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)


@pytest.mark.parametrize("how", ["cut off", "overwritten"])
@pytest.mark.parametrize("codec", ["Flate", "JPEG", "JPEG 2000", "run lengths", "mask"])
def test_a_damaged_scan_is_never_silent(path, codec, how):
    filters = {"JPEG": ("JPEG", Name.DCTDecode), "JPEG 2000": ("JPEG2000", Name.JPXDecode)}

    def draw(pdf: pikepdf.Pdf) -> dict:
        if codec in filters:
            format, filter = filters[codec]
            return {"I": coded(pdf, damaged(encoded(Image.fromarray(NOISE), format), how), filter)}
        whole = stream(pdf, NOISE)
        if codec == "run lengths":
            raw = b"".join(bytes([127]) + NOISE.tobytes()[at : at + 128] for at in range(0, NOISE.size, 128))
            whole.write(raw[:-900] + b"\x80", filter=Name.RunLengthDecode)
            return {"I": whole}
        whole.write(damaged(whole.read_raw_bytes(), how), filter=Name.FlateDecode)
        return {"I": whole if codec == "Flate" else stream(pdf, RGB, SMask=whole)}

    page(path, draw)
    if (codec, how) == ("JPEG", "overwritten"):
        assert documents.read(path, 1).notes[0].startswith("damaged in places: ")
    elif (codec, how) == ("JPEG 2000", "overwritten"):
        documents.read(path, 1)  # nothing in it tells that other bytes were there
    else:
        with pytest.raises(ValueError, match=r"page 1 of \S+ is damaged: .* scan"):
            documents.read(path, 1)


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"BitsPerComponent": 16}, "end early"),
        ({"BitsPerComponent": 2**32 + 1}, "end early"),
        ({"Height": HEIGHT + 1}, "end early"),
        (
            {"ColorSpace": Array([Name.Indexed, Array([Name.Indexed, Name.DeviceRGB, 1, b"x"]), 1, b"x"])},
            "palette",
        ),
        (
            {"Filter": Name.FlateDecode, "DecodeParms": Dictionary(Predictor=15, Columns=2**31 - 1)},
            "in rows of",
        ),
        ({"Filter": Name.FlateDecode, "DecodeParms": Dictionary(Predictor=15, Columns=WIDTH)}, "in rows of"),
    ],
)
def test_a_scan_that_pdfium_would_leave_white_is_refused(path, keys, said):
    page(path, scan())
    with pikepdf.open(path, allow_overwriting_input=True) as pdf:
        found = pdf.pages[0].Resources.XObject.I
        found.write(zlib.compress(RGB.tobytes()) if "Filter" in keys else RGB.tobytes())
        for name, value in keys.items():
            found[f"/{name}"] = value
        pdf.save(path, compress_streams=False)
    with pytest.raises(ValueError, match=said):
        documents.read(path, 1)


def test_a_wrong_code_of_group_4_is_noted(path):
    data = bytearray(pdf_files.group4(NOISE[..., 0] > 128))
    data[len(data) // 2] ^= 0x55
    options = {"BitsPerComponent": 1, "DecodeParms": Dictionary(K=-1, Columns=WIDTH, Rows=HEIGHT)}
    page(path, lambda pdf: {"I": coded(pdf, bytes(data), Name.CCITTFaxDecode, Name.DeviceGray, **options)})
    assert any("damaged in places" in note for note in documents.read(path, 1).notes)


def test_broken_and_packed_files_are_read_as_far_as_they_can_be(path):
    page(path, scan())
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b"startxref", b"startxxxx"))
    assert np.array_equal(documents.read(path, 1).rgb, RGB)
    path.write_bytes(whole)
    with pikepdf.open(path, allow_overwriting_input=True) as pdf:
        pdf.save(path, object_stream_mode=pikepdf.ObjectStreamMode.generate)
    assert np.array_equal(documents.read(path, 1).rgb, RGB)
    with pikepdf.new() as pdf:
        pdf.save(path)
    with pytest.raises(ValueError, match=r"has no pages|is not a PDF"):
        documents.count(path)


def test_a_file_that_is_too_large_is_not_opened(path, monkeypatch):
    page(path, scan())
    monkeypatch.setenv("VISION_CORE_MAX_FILE_MB", "0.001")
    with pytest.raises(ValueError, match=r"page\.pdf has .* MB; at most 0.00 are accepted .*_FILE_MB"):
        documents.count(path)


def nested(pdf: pikepdf.Pdf, key: str) -> Stream:
    """Forms or patterns inside of one another, ten of each in each: 10 ** 10 dots from 3 kB."""
    inner = pdf.make_stream(b"0 0 1 1 re f")
    for _ in range(10):
        content = b"/X Do " if key == "XObject" else b"/Pattern cs /X scn 0 0 9 9 re f "
        outer = pdf.make_stream(content * 10)
        inner.Resources = inner.get("/Resources", Dictionary())
        inner.BBox, inner.Type, inner.Subtype = Array([0, 0, 9, 9]), Name.XObject, Name.Form
        if key == "Pattern":
            inner.PatternType, inner.PaintType, inner.TilingType = 1, 1, 1
            inner.XStep = inner.YStep = 1
        outer.Resources = Dictionary(**{key: Dictionary(X=inner)})
        inner = outer
    return inner


def bomb(path: Path, kind: str) -> None:
    page(path, scan())
    with pikepdf.open(path, allow_overwriting_input=True) as pdf:
        if kind == "operators":
            squeeze = zlib.compressobj(9)
            packed = (
                b"".join(squeeze.compress(b"0 0 m 9 9 l S\n" * 80_000) for _ in range(150)) + squeeze.flush()
            )
            pdf.pages[0].Contents = pdf.make_stream(b"")
            pdf.pages[0].Contents.write(packed, filter=Name.FlateDecode)
        else:
            top = nested(pdf, kind)
            pdf.pages[0].Contents = pdf.make_stream(top.read_bytes())
            pdf.pages[0].Resources = top.Resources
        pdf.save(path)


@pytest.mark.skipif(sys.platform != "linux", reason="limits of processor time and memory are Linux's")
@pytest.mark.parametrize("kind", ["XObject", "operators", "Pattern"])
def test_endless_drawing_is_one_sentence(path, kind):
    bomb(path, kind)
    with pytest.raises(ValueError, match=r"page 1 of \S+ (draws|takes|cannot)") as error:
        guarded.read(path, page=1, seconds=15)
    assert len(str(error.value)) < 300
    page(path, scan())
    assert np.array_equal(guarded.read(path, page=1).rgb, RGB)
