"""Tests that uploads are only decoded in the sandboxed process."""

import ast
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from zipfile import ZipFile

import gradio as gr
import numpy as np
import pytest

from apps.color_transfer import palette_panel, visit
from apps.color_transfer import results as colors
from apps.dashboard.digits import sources
from apps.image_editing import edits, mask_panel, picture_panel, results
from apps.image_editing.visit import APP
from apps.restoration import training
from apps.shared import visits
from vision_core import editing
from vision_core.color import lut, lut_files
from vision_core.editing import masks, packed, recipe
from vision_core.editing.recipe import Recipe
from vision_core.files import bundled
from vision_core.pictures import images
from vision_core.pictures.images import Picture

ROOT = Path(__file__).parents[2]
# what parses a file, by the last two parts of its dotted name
DECODERS = {
    *(
        "images.read",
        "Image.open",
        "masks.read",
        "masks.decode",
        "recipe.read",
        "documents.read",
        "documents.count",
    ),
    *("documents.opened", "lut_files.read", "palette_files.read", "palette_files.loads", "color.load"),
    *("colormap.load", "colormap.to_arrays", "restoration.load", "leaves.load", "digits.load", "np.load"),
    *("digits.read_export", "checkpoints.load", "states.load_state", "torch.load", "json.load", "json.loads"),
    *("archives.members", "cv2.imread", "cv2.imdecode", "pickle.load", "pickle.loads"),
}
OURS = {  # what is decoded in a server, and why no visitor can have written it
    "shared/curves.py json.loads": "a figure that this process has just drawn",
    "shared/doors.py json.loads": "the body of a request, of at most 8 MB, which Gradio parses, too",
    "shared/inputs.py Image.open": "pictures of the package",
    "color_transfer/looks.py color.load": "networks that were trained here, or written anew from arrays",
    "color_transfer/looks.py np.load": "tables that this server wrote",
    "color_transfer/results.py images.read": "the view of a picture, written by this server",
    "dashboard/digits/sources.py digits.read_export": "called in the guarded process for uploads",
    "dashboard/leaves/models.py leaves.load": "models of trainings on this machine",
    "restoration/contact.py images.read": "restored pages that this server wrote",
    "image_editing/results.py images.read": "views and candidates that this server wrote",
    "image_editing/visit.py masks.decode": "a mask that this server wrote",
    "restoration/files.py images.read": "a mask that this server wrote",
    "restoration/networks.py restoration.load": "networks that were trained here",
    "restoration/sheets.py images.read": "pages and maps that this server wrote",
}


def calls(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            if isinstance(node.func.value, ast.Name):
                yield f"{node.func.value.id}.{node.func.attr}"
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "ZipFile" and len(node.args) < 2:
            yield "ZipFile for reading"
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                yield f"{(node.module or '').split('.')[-1]}.{alias.name}"


def test_every_decoder_in_a_page_is_known_and_never_sees_an_upload():
    """A new one: read the file by `guarded.read` or `guarded.call`, or say in OURS who has written it."""
    files = sorted((ROOT / "apps").rglob("*.py"))
    decoders = DECODERS | {"ZipFile for reading"}
    apps = ROOT / "apps"
    calls_found = {
        f"{path.relative_to(apps)} {call}" for path in files for call in calls(path) if call in decoders
    }
    assert calls_found == set(OURS)


@pytest.fixture
def uploads(tmp_path_factory, monkeypatch):
    """A folder as Gradio's, in which uploads lie."""
    monkeypatch.setenv("TMPDIR", str(tmp_path_factory.mktemp("tmp")))
    monkeypatch.setattr("tempfile.tempdir", None)
    return visits.uploads()


OPENED: list[str] = []
WATCHING = [False]


def _audit(event: str, arguments: tuple) -> None:
    if WATCHING[0] and event == "open":
        frame = sys._getframe()
        while frame and not frame.f_code.co_filename.startswith(str(ROOT)):
            frame = frame.f_back
        frame = frame.f_back if frame and frame.f_code is _audit.__code__ else frame
        while frame and not frame.f_code.co_filename.startswith(str(ROOT)):
            frame = frame.f_back
        OPENED.append(f"{arguments[0]} by {frame.f_code.co_qualname if frame else '?'}")


@contextmanager
def watched(*files: Path) -> Iterator[None]:
    """Check that only `visits.keep`, which copies them, opens these files in this process."""
    if _audit not in _HOOKED:
        sys.addaudithook(_audit)
        _HOOKED.append(_audit)
    OPENED.clear()
    WATCHING[0] = True
    try:
        yield
    finally:
        WATCHING[0] = False
    opened = [line for line in OPENED if any(line.startswith(str(file)) for file in files)]
    assert [line for line in opened if not line.endswith(" by keep")] == []


_HOOKED: list = []


def test_an_upload_that_is_opened_here_is_noticed(uploads):
    images.save(Picture(np.zeros((4, 4, 3), np.uint8)), uploads / "a.png")
    with pytest.raises(AssertionError, match="by "):
        with watched(uploads / "a.png"):
            images.read(uploads / "a.png")


def test_uploads_of_the_editing_page_are_opened_in_the_guarded_process_only(uploads):
    rgb = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    photo, mask, material = (uploads / f"{name}.png" for name in ("photo", "mask", "material"))
    for path in (photo, material):
        images.save(Picture(rgb), path)
    marked = np.zeros((40, 60), bool)
    marked[5:20, 5:20] = True
    masks.save(marked, mask)
    masked = uploads / "made.png"
    recipe.save(Picture(rgb), Recipe("remove", mask=packed.pack_mask(marked)), masked)
    session = visits.new(APP)
    with watched(photo, mask, material, masked):
        picture_panel.choose(session, str(photo))
        mask_panel.by_file(session, str(mask))
        editing.painter("picture", material=edits.material_of("picture", "", str(material)))
        assert "Restored: remove" in results.restore(session, str(masked))[0]
        with pytest.raises(gr.Error, match="holds no recipe"):
            results.restore(session, str(photo))


def test_uploads_of_the_colour_page_are_opened_in_the_guarded_process_only(uploads):
    photo = uploads / "photo.png"
    images.save(Picture(np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)), photo)
    cube, colours, model = uploads / "a.cube", uploads / "a.hex", uploads / "a.safetensors"
    lut_files.write(cube, lut.identity(3))
    colours.write_text("ff0000\n0000ff\n")
    model.write_bytes((bundled("models") / "color" / "astronaut-coffee.safetensors").read_bytes())
    session = visits.new(visit.APP)
    with watched(photo, cube, colours, model):
        palette_panel.choose_source(session, str(photo))
        palette_panel.take_file(session, str(colours), 25, 10)
        for path in (cube, model):
            colors.use_saved(session, str(path))


def test_uploads_of_the_other_pages_are_opened_in_the_guarded_process_only(uploads, tmp_path):
    archive = uploads / "pages.zip"
    with ZipFile(archive, "w") as file:
        for number in range(2):
            rgb = np.random.default_rng(number).integers(0, 256, (40, 60, 3), np.uint8)
            file.writestr(f"{number}.png", images.encode(Picture(rgb)))
    with watched(archive):
        assert set(training.unpack(str(archive), tmp_path / "pages")) == {"train_dir", "val_dir"}
    shipped = sources.shipped()
    again = sources.uploaded([("x.json", shipped.index), ("x.bin", shipped.binary)])
    assert again.export.index == shipped.export.index
    assert np.array_equal(again.export.values, shipped.export.values)
