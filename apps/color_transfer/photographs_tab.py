"""More photographs through a finished result: one as a picture, many as a ZIP."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any
from zipfile import ZIP_STORED, ZipFile

import gradio as gr

from apps.color_transfer import looks, results, views
from apps.color_transfer.looks import Look
from apps.color_transfer.visit import Visit, current
from apps.shared import downloads, visits
from apps.shared.faults import sentence, user_errors
from apps.shared.inputs import Uploads, read_picture
from apps.shared.progress import bar, note
from apps.shared.queue import HEAVY
from apps.shared.visits import Session
from vision_core.color import lut
from vision_core.color.advice import warnings
from vision_core.pictures import images
from vision_core.pictures.images import SUFFIXES

MOST = 200  # photographs at once
ZIP, PNG = "photographs.zip", "photograph.png"


@user_errors
def recolor(
    given: Session | None,
    chosen: list[tuple[str, str]] | None,
    folder: list[tuple[str, str]] | None,
    strength: float,
    lightness: float,
) -> Iterator[tuple[Any, ...]]:
    """Yield (before and after of the first, words and download); a file that fails is named and left out."""
    known = current(given)
    look = looks.get(known)
    given_files = [*(chosen or []), *(folder or [])]
    if not given_files:
        raise ValueError("Please choose one or more photographs first")
    if len(given_files) > MOST:
        raise ValueError(f"{len(given_files)} files are too many at once; the most is {MOST}")
    baked = results.table(look, *results.strengths(strength, lightness))
    for name in (ZIP, PNG):
        look.path(name).unlink(missing_ok=True)
    with HEAVY.ticket(known.session.owner, "photographs") as turn:
        for waiting in turn:
            yield gr.skip(), note(waiting)
        if len(given_files) == 1:
            yield _one(known, look, given_files[0], baked)
            return
        yield from _many(known, look, given_files, baked)


def _one(known: Visit, look: Look, file: tuple[str, str], baked: Any) -> tuple[Any, ...]:
    picture = read_picture(file[1])
    output = picture.mapped(partial(lut.apply, baked))
    visits.make_room(known.session, output.rgb.nbytes // 2)
    images.save(output, look.path(PNG))
    unknown = "" if look.facts["kind"] == "cube" else " ".join(warnings(look.model, picture))
    words = note(f"{unknown}.", "warning") if unknown else note(f"{file[0]} is ready.", "good")
    words += "".join(note(text) for text in picture.notes)
    return _pair(known, picture, output), words + _link(known, PNG, "Download the picture (PNG)", file[0])


def _many(known: Visit, look: Look, files: list[tuple[str, str]], baked: Any) -> Iterator[tuple[Any, ...]]:
    failed, noted, written, part = [], list[str](), set[str](), look.path("photographs.part")
    try:
        with ZipFile(part, "w", ZIP_STORED) as archive:
            for number, (name, path) in enumerate(files, 1):
                pair = gr.skip()
                try:
                    picture = read_picture(path)
                    output = picture.mapped(partial(lut.apply, baked))
                    data, inside = _encoded(output, name, written)
                    noted += [f"{name}: {text}" for text in (*picture.notes, *images.loss(output, inside))]
                    visits.make_room(known.session, len(data))
                    archive.writestr(inside, data)
                    if len(written) == 1:
                        pair = _pair(known, picture, output)
                except ValueError as error:
                    failed.append(f"{name}: {sentence(error)}")
                yield (
                    pair,
                    bar(number, len(files), f"{number} of {len(files)} photographs") + _failures(failed),
                )
        if not written:
            raise ValueError(f"None of the {len(files)} files could be recoloured. {failed[0]}")
        part.replace(look.path(ZIP))
    finally:
        part.unlink(missing_ok=True)
    said = note(f"{len(written)} of {len(files)} photographs are ready.", "warning" if failed else "good")
    said += "".join(note(text) for text in noted)
    yield gr.skip(), said + _failures(failed) + _link(known, ZIP, "Download all (ZIP)")


def _encoded(picture: images.Picture, name: str, written: set[str]) -> tuple[bytes, str]:
    """The file in the format of its name (PNG where we cannot write that), and a free name for it."""
    suffix = Path(name).suffix.lower()
    kind = SUFFIXES.get(suffix, "PNG")
    if kind in ("JPEG", "BMP") and picture.alpha is not None:
        kind = "PNG"
    end = suffix if SUFFIXES.get(suffix) == kind else ".png"
    stem, number = Path(name).stem, 1
    while (inside := f"{stem}{'' if number == 1 else f'-{number}'}{end}") in written:
        number += 1
    data = images.encode(picture, kind)
    written.add(inside)
    return data, inside


def _pair(known: Visit, before: images.Picture, after: images.Picture) -> Any:
    both = [
        visits.shown(known.session, images.shrink(one.on_white().rgb, looks.VIEW)) for one in (before, after)
    ]
    return gr.ImageSlider((both[0], both[1]), visible=True)


def _failures(failed: list[str]) -> str:
    return "".join(note(text, "warning") for text in failed)


def _link(known: Visit, name: str, text: str, of: str = "") -> str:
    return downloads.links(views.link(known, name, text, {"of": of} if of else None, main=True))


def build(visit: gr.State, strengths: list[gr.Slider]) -> list[gr.components.Component]:
    """The section's layout and wiring; the components to clear when there is another result."""
    gr.Markdown(
        "The same colours for any other photographs at once, without training: one, many, or a folder."
    )
    with gr.Row():
        with gr.Column(min_width=300):
            chosen = Uploads(label="Photographs", file_count="multiple", height=150, elem_id="photographs")
            folder = Uploads(label="or a whole folder", file_count="directory", height=110, elem_id="folder")
            start = gr.Button("Recolour", variant="primary", elem_id="recolor")
        with gr.Column(min_width=300):
            words = gr.HTML(elem_id="batch")
            slider = gr.ImageSlider(
                label="The first, before and after",
                format="png",
                interactive=False,
                visible=False,
                max_height=480,
                buttons=["fullscreen"],
            )
    start.click(
        recolor,
        [visit, chosen, folder, *strengths],
        [slider, words],
        concurrency_limit=None,
        show_progress="hidden",
    )
    return [slider, words]
