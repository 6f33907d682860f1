import csv
import io
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import img2pdf
import numpy as np
import pikepdf
import pypdfium2
import pytest
from PIL import Image

from vision_core.pictures import documents, images
from vision_core.pictures.images import Picture
from vision_core.restoration import Options, batch, run
from vision_core.restoration.reports import PageReport, csv_table

GREY = Options(output="grey", gate=False)


@pytest.fixture
def shelf(tmp_path, picture):
    """A folder: two pages, one in a folder below, a TIFF of three pages, and a file that is no picture."""
    folder = tmp_path / "shelf"
    images.save(picture, folder / "a.png")
    images.save(picture, folder / "deep" / "b.jpg")
    frames = [Image.fromarray(np.roll(picture.rgb, 9 * i, 0)) for i in range(3)]
    frames[0].save(folder / "c.tif", save_all=True, append_images=frames[1:], dpi=(300, 300))
    (folder / "d.png").write_bytes(b"no picture")
    (folder / "notes.txt").write_text("left out")
    return folder


def test_a_folder_keeps_its_shape_and_one_bad_file_stops_nothing(shelf, untrained, tmp_path):
    out = tmp_path / "out"
    reports = list(run([shelf], out, untrained, GREY))
    assert [(r.written is not None, r.page) for r in reports] == [
        (True, 1),
        (True, 1),
        (True, 2),
        (True, 3),
        (False, 1),
        (True, 1),
    ]
    assert "not an image we can read" in reports[4].reason
    assert sorted(p.relative_to(out).as_posix() for p in out.rglob("*.*") if p.is_file()) == [
        "a.png",
        "c.tif",
        "deep/b.jpg",
        "restored.jsonl",
    ]
    with Image.open(out / "c.tif") as tiff:
        assert tiff.n_frames == 3 and tiff.info["dpi"] == pytest.approx((300, 300), abs=0.01)
        tiff.seek(2)
        result = np.array(tiff.convert("RGB"))
    assert (result == result[..., :1]).all() and result.std() > 5


def fill_disk(monkeypatch, name: str) -> None:
    """Let writing the page `name` fail as on a full disk."""
    real = batch.images.save

    def save(page, path):
        if path.name == name:
            raise OSError(28, "No space left on device", str(path))
        real(page, path)

    monkeypatch.setattr(batch.images, "save", save)


def test_a_run_goes_on_where_it_stopped(shelf, untrained, tmp_path, monkeypatch):
    out, reports = tmp_path / "out", []
    fill_disk(monkeypatch, "page-0003.png")
    with pytest.raises(OSError, match="No space left"):
        for report in run([shelf], out, untrained, GREY):
            reports.append(report)
    assert len(reports) == 3 and (out / "c.tif.pages" / "page-0002.png").is_file()
    monkeypatch.undo()
    again = list(run([shelf], out, untrained, GREY))
    assert [report.skipped for report in again[:4]] == [True, True, True, False]
    assert (out / "c.tif").is_file() and not (out / "c.tif.pages").exists()
    third = [r.skipped for r in run([shelf], out, untrained, GREY) if r.written]
    assert third == [True, True, True]
    other = [r.skipped for r in run([shelf], out, untrained, Options(gate=False)) if r.written]
    assert not any(other)  # other options: nothing is done yet


def test_pdf_in_and_out(picture, untrained, tmp_path):
    pages = []
    for number in range(2):
        images.save(picture, tmp_path / f"{number}.png")
        pages.append(str(tmp_path / f"{number}.png"))
    (tmp_path / "in.pdf").write_bytes(img2pdf.convert(pages))
    reports = list(run([tmp_path / "in.pdf"], tmp_path / "out.pdf", untrained, Options(gate=False)))
    assert len(reports) == 2
    document = pypdfium2.PdfDocument(tmp_path / "out.pdf")
    assert len(document) == 2
    assert document[0].get_size() == pytest.approx((96 * 72 / 300, 128 * 72 / 300), abs=0.5)
    first = documents.read(tmp_path / "out.pdf", 1)
    assert first.rgb.shape == picture.rgb.shape and first.dpi == pytest.approx((300, 300), rel=0.01)
    assert np.array_equal(first.rgb, picture.rgb)


def test_pdfs_that_cannot_be_read_are_one_sentence(picture, untrained, tmp_path):
    images.save(picture, tmp_path / "page.png")
    (tmp_path / "plain.pdf").write_bytes(img2pdf.convert(str(tmp_path / "page.png")))
    with pikepdf.open(tmp_path / "plain.pdf") as pdf:
        pdf.save(tmp_path / "locked.pdf", encryption=pikepdf.Encryption(user="secret", owner="secret"))
    (tmp_path / "broken.pdf").write_bytes((tmp_path / "plain.pdf").read_bytes()[:200])
    (tmp_path / "empty.pdf").write_bytes(b"")
    for name, message in (
        ("locked.pdf", "is encrypted"),
        ("broken.pdf", "not a PDF we can read"),
        ("empty.pdf", "not a PDF we can read"),
        ("missing.pdf", "no file"),
    ):
        (report,) = run([tmp_path / name], tmp_path / "out.pdf", untrained, GREY)
        assert report.written is None and message in report.reason
    assert not (tmp_path / "out.pdf").exists()


def test_a_tiff_cut_off_in_the_middle_is_not_joined(picture, untrained, tmp_path):
    frames = [Image.fromarray(np.roll(picture.rgb, 9 * i, 0)) for i in range(3)]
    buffer = io.BytesIO()
    frames[0].save(buffer, "TIFF", save_all=True, append_images=frames[1:])
    (tmp_path / "a.tif").write_bytes(buffer.getvalue()[: len(buffer.getvalue()) * 2 // 3])
    *reports, whole = run([tmp_path / "a.tif"], tmp_path / "out.tif", untrained, GREY)
    assert reports[0].written and reports[-1].written is None and not (tmp_path / "out.tif").exists()
    assert whole.page == 0 and whole.outcome == "failed" and "was not written" in whole.reason


def test_a_damaged_page_ends_neither_the_run_nor_the_next_one(picture, untrained, tmp_path):
    """It stays in the PDF as it was, which a report of page 0 says, then and the next time."""
    for name in ("a", "c"):
        images.save(picture, tmp_path / "in" / f"{name}.png")
    pages = [str(tmp_path / "in" / "a.png"), str(tmp_path / "in" / "c.png")]
    whole = img2pdf.convert(pages)
    with pikepdf.open(io.BytesIO(whole)) as pdf:
        image = next(iter(pdf.pages[0].Resources.XObject.values()))
        data = image.read_raw_bytes()
        at = len(data) // 2
        image.write(
            data[:at] + bytes(20) + data[at + 20 :], filter=image.Filter, decode_parms=image.DecodeParms
        )
        pdf.save(tmp_path / "in" / "b.pdf")
    reports = list(run([tmp_path / "in"], tmp_path / "out", untrained, Options()))
    assert [(Path(r.source).name, r.page, r.outcome) for r in reports] == [
        ("a.png", 1, "kept"),
        ("b.pdf", 1, "failed"),
        ("b.pdf", 2, "kept"),
        ("b.pdf", 0, "joined"),
        ("c.png", 1, "kept"),
    ]
    assert "damaged" in reports[1].reason and reports[3].reason.endswith("could not be read: page 1")
    with pikepdf.open(tmp_path / "out" / "b.pdf") as pdf, pikepdf.open(tmp_path / "in" / "b.pdf") as before:
        kept, old = (next(iter(one.pages[0].Resources.XObject.values())) for one in (pdf, before))
        assert kept.read_raw_bytes() == old.read_raw_bytes()
    again = list(run([tmp_path / "in"], tmp_path / "out", untrained, Options()))
    assert [(r.page, r.outcome) for r in again if r.source.endswith("b.pdf")] == [
        (0, "joined"),
        (1, "failed"),
    ]
    assert all(r.skipped for r in again)
    (tmp_path / "in" / "b.pdf").write_bytes(whole)
    mended = list(run([tmp_path / "in"], tmp_path / "out", untrained, Options()))
    assert {r.outcome for r in mended} == {"kept"} and documents.count(tmp_path / "out" / "b.pdf") == 2
    assert [r.reason for r in run([tmp_path / "in"], tmp_path / "out", untrained, Options())][1:2] == [
        "done before: 0 of 2 pages restored"
    ]


def test_results_inside_of_the_sources_are_no_sources(picture, untrained, tmp_path, monkeypatch):
    images.save(picture, tmp_path / "a.png")
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        reports = list(run([tmp_path.resolve()], Path("out"), untrained, GREY))
        assert [r.written for r in reports] == [str(Path("out/a.png"))]
    assert reports[0].skipped


def test_what_became_of_a_page_is_data(picture, untrained, network, tmp_path):
    images.save(picture, tmp_path / "a.png")
    for gate, outcome in ((True, "kept"), (False, "restored")):
        (report,) = run([tmp_path / "a.png"], tmp_path / "out.png", untrained, Options(gate=gate))
        assert report.outcome == outcome and report.unchanged
        assert report.reason.startswith("it would hardly change" if gate else "the gate, which is off, says:")
    (report,) = run([tmp_path / "a.png"], tmp_path / "out.png", network, Options(gate=False))
    assert report.outcome == "restored" and not report.unchanged and report.change > 0 < report.seconds


@pytest.mark.parametrize("suffix", [".tif", ".pdf", ".png"])
def test_the_result_has_the_depth_that_was_asked_for(picture, untrained, tmp_path, suffix):
    """Black and white takes 1 bit, grey 8; a kept page of 1 bit stays so. A PDF names a resolution."""
    bits = Image.fromarray(picture.rgb[..., 0] > 128)
    bits.save(tmp_path / "bits.tif", compression="group4")
    images.save(Picture(picture.rgb), tmp_path / "colour.png")
    Image.fromarray(picture.rgb[..., 0].astype(np.uint16) * 257).save(tmp_path / "deep.png")
    for source, output, depth, channels in (
        ("bits.tif", "color", 1, 1),
        ("bits.tif", "binary", 1, 1),
        ("bits.tif", "grey", 8, 1),
        ("colour.png", "binary", 1, 1),
        ("colour.png", "grey", 8, 1),
        ("colour.png", "color", 8, 3),
        ("deep.png", "color", 16, 1),
        ("deep.png", "grey", 8, 1),
        ("deep.png", "binary", 1, 1),
    ):
        target = tmp_path / f"out{suffix}"
        (report,) = run([tmp_path / source], target, untrained, Options(output=output))
        assert ("96 dpi were assumed" in report.notes) == (suffix == ".pdf")
        if suffix == ".pdf":
            with pikepdf.open(target) as pdf:
                (image,) = pdf.pages[0].get_images().values()
                actual = int(image.BitsPerComponent), 3 if image.ColorSpace == "/DeviceRGB" else 1
        else:
            with Image.open(target) as image:
                deep = {"1": 1, "I;16": 16}.get(image.mode, 8)
                actual = deep, len(image.getbands())
        assert actual == (depth, channels), (source, output)
        assert ("rounded to 8" in report.notes) == (source == "deep.png" and output != "color")
        if source == "bits.tif":
            assert np.array_equal(documents.read(target, 1).rgb, np.array(bits.convert("RGB")))


def test_a_kept_page_is_the_same_in_every_kind_of_document(picture, untrained, tmp_path):
    """In a PDF it is untouched: here a JPEG, which would lose something and grow if it were written anew."""
    Image.fromarray(picture.rgb).save(tmp_path / "page.jpg", dpi=(150, 150))
    (tmp_path / "in.pdf").write_bytes(img2pdf.convert(str(tmp_path / "page.jpg")))
    for suffix in (".pdf", ".tif", ".png"):
        (report,) = run([tmp_path / "in.pdf"], target := tmp_path / f"out{suffix}", untrained, Options())
        decoded, expected = documents.read(target, 1), images.read(tmp_path / "page.jpg")
        assert report.unchanged and np.array_equal(decoded.rgb, expected.rgb)
        assert decoded.dpi == pytest.approx((150, 150), rel=1e-3)
    with pikepdf.open(tmp_path / "in.pdf") as before, pikepdf.open(tmp_path / "out.pdf") as after:
        first, second = (next(iter(pdf.pages[0].get_images().values())) for pdf in (before, after))
        assert first.read_raw_bytes() == second.read_raw_bytes()


def test_the_same_pages_give_the_same_bytes(tmp_path):
    """Also where strips of odd lengths leave a byte of padding, which libtiff leaves to chance."""
    rng, parts = np.random.default_rng(0), {}
    for number in range(1, 7):
        parts[number] = tmp_path / f"{number}.png"
        page = rng.integers(0, 256, (300 + 11 * number, 200, 3), np.uint8)
        images.save(Picture(page, dpi=(300, 300)), parts[number])
    for suffix in (".tif", ".pdf"):
        results = set()
        for _ in range(4):
            documents.write(tmp_path / f"out{suffix}", parts)
            results.add((tmp_path / f"out{suffix}").read_bytes())
            rng.integers(0, 256, (int(rng.integers(1, 10)), 300_000), np.uint8)  # other bytes in the memory
        assert len(results) == 1


def test_what_a_killed_run_left_is_swept(picture, untrained, tmp_path):
    images.save(picture, tmp_path / "in" / "a.png")
    out = tmp_path / "out"
    list(run([tmp_path / "in"], out, untrained, GREY))
    orphan, foreign = out / "a.png.0123abcd.part", out / "download.part"
    for path in (orphan, foreign):
        path.write_bytes(b"half")
        os.utime(path, (0, 0))
    list(run([tmp_path / "in"], out, untrained, GREY))
    assert not orphan.exists() and foreign.exists()


def test_many_pages_are_walked_one_by_one(untrained, tmp_path):
    tiny = [Image.new("L", (2, 2), i) for i in range(300)]
    tiny[0].save(tmp_path / "many.tif", save_all=True, append_images=tiny[1:])
    with documents.opened(tmp_path / "many.tif") as many:
        values = [many.read(number, lambda pixels: None).rgb[0, 0, 0] for number in range(1, many.count + 1)]
    assert values == [min(i, 255) for i in range(300)]


def test_the_source_is_never_replaced_and_a_mask_is_for_one_page(shelf, untrained, tmp_path):
    with pytest.raises(ValueError, match="would replace one of the input pictures"):
        list(run([shelf / "a.png"], shelf / "a.png", untrained, GREY))
    with pytest.raises(ValueError, match="would replace the originals"):
        list(run([shelf], shelf, untrained, GREY))
    with pytest.raises(ValueError, match="a part of one image"):
        list(run([shelf], tmp_path / "o", untrained, GREY, np.zeros((2, 2), np.uint8)))
    (tmp_path / "nothing").mkdir()
    with pytest.raises(ValueError, match="no images in the folder"):
        list(run([tmp_path / "nothing"], tmp_path / "o", untrained, GREY))
    with pytest.raises(ValueError, match="go into a folder"):
        list(run([shelf], tmp_path / "o.png", untrained, GREY))


def test_a_report_is_no_formula():
    report = PageReport("=cmd()", 1, None, "failed", "a, b")
    rows = list(csv.reader(io.StringIO(csv_table([report]))))
    assert rows[1][0] == "'=cmd()" and rows[1][4] == "a, b" and rows[0][0] == "source"
    odd = replace(report, source=os.fsdecode(b"\xff.png"))  # a name that is no UTF-8
    assert "\\udcff.png" in csv_table([odd]).encode().decode()


def test_a_result_that_was_written_otherwise_since_is_done_again(tmp_path, picture, untrained):
    """A run with other options, killed between a result and its line, must not pass for done either."""
    images.save(picture, tmp_path / "in" / "a.png")
    args = [tmp_path / "in"], tmp_path / "out", untrained
    list(run(*args, GREY))
    expected = (tmp_path / "out" / "a.png").read_bytes()
    list(run(*args, Options(gate=False)))
    assert (tmp_path / "out" / "a.png").read_bytes() != expected
    assert [r.skipped for r in run(*args, GREY)] == [False]
    assert (tmp_path / "out" / "a.png").read_bytes() == expected
    journal = tmp_path / "out" / "restored.jsonl"
    list(run(*args, Options(gate=False)))
    journal.write_text("".join(journal.read_text().splitlines(keepends=True)[:-1]))
    assert [r.skipped for r in run(*args, GREY)] == [False]


def test_the_journal_survives_half_a_line(tmp_path, picture, untrained):
    images.save(picture, tmp_path / "in" / "a.png")
    images.save(Picture(picture.rgb[::-1].copy()), tmp_path / "in" / "b.png")
    list(run([tmp_path / "in"], tmp_path / "out", untrained, GREY))
    path = tmp_path / "out" / "restored.jsonl"
    path.write_text(path.read_text()[:-20])
    assert [r.skipped for r in run([tmp_path / "in"], tmp_path / "out", untrained, GREY)] == [True, False]


def test_two_files_of_one_name_do_not_overwrite_one_another(picture, untrained, tmp_path):
    for folder in ("one", "two"):
        turned = picture.rgb if folder == "one" else picture.rgb[::-1].copy()
        images.save(Picture(turned), tmp_path / folder / "a.png")
    sources = [tmp_path / "one" / "a.png", tmp_path / "two" / "a.png"]
    reports = list(run(sources, tmp_path / "out", untrained, Options(gate=False)))
    assert [Path(report.written).name for report in reports] == ["a.png", "a-2.png"]
    for source, report in zip(sources, reports, strict=True):
        assert np.array_equal(images.read(report.written).rgb, images.read(source).rgb)


def test_a_full_disk_at_page_57_of_100_leaves_56_safe_and_the_run_goes_on(untrained, tmp_path, monkeypatch):
    tiny = [Image.new("RGB", (16, 16), (2 * i, 100, 50)) for i in range(100)]
    tiny[0].save(tmp_path / "book.tif", save_all=True, append_images=tiny[1:])
    fill_disk(monkeypatch, "page-0057.png")
    target, reports = tmp_path / "restored.tif", []
    with pytest.raises(OSError, match=r"page 57 of \S+book.tif could not be written \(No space left"):
        for report in run([tmp_path / "book.tif"], target, untrained, GREY):
            reports.append(report)
    safe = sorted((tmp_path / "restored.tif.pages").glob("page-*.png"))
    assert len(reports) == len(safe) == 56 and all(images.read(path) for path in safe) and not target.exists()
    monkeypatch.undo()
    again = list(run([tmp_path / "book.tif"], target, untrained, GREY))
    assert [report.skipped for report in again] == [True] * 56 + [False] * 44
    assert documents.count(target) == 100


def test_joining_pages_needs_the_memory_of_one(tmp_path):
    """120 pages of 0.8 MB each: a thousand large ones must not be held at once."""
    Image.linear_gradient("L").resize((512, 512)).convert("RGB").save(tmp_path / "page.png")
    code = (
        "import resource, sys; from pathlib import Path; from vision_core.pictures import documents\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "folder = Path(sys.argv[1]); parts = [folder / 'page.png'] * 120\n"
        "documents.write(folder / 'few.tif', dict(enumerate(parts[:2]))); before = peak()\n"
        "documents.write(folder / 'many.tif', dict(enumerate(parts))); print(peak() - before)\n"
    )
    process = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True)
    grown = int(process.stdout) / (1024 if sys.platform == "linux" else 1 << 20)
    assert grown < 30, f"{grown:.0f} MB more"
    assert documents.count(tmp_path / "many.tif") == 120
