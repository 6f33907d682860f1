"""More photographs: the same colours for one other picture, many, or a folder, without training."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any
from zipfile import ZIP_STORED, ZipFile

import gradio as gr

from apps.color_transfer import looks, results, views
from apps.color_transfer.looks import Look
from apps.color_transfer.visit import Visit, current
from apps.shared import downloads, jobs, visits, wiring
from apps.shared.faults import sentence, user_errors
from apps.shared.inputs import Uploads, read_picture
from apps.shared.jobs import Job, Stopped
from apps.shared.progress import note
from apps.shared.visits import Session
from vision_core.color import lut
from vision_core.files import read_json, write_json
from vision_core.pictures import images
from vision_core.pictures.images import SUFFIXES, Picture

MOST = 200  # photographs at once
ZIP, PNG = "photographs.zip", "photograph.png"
JOB, FILE = "photographs", "photographs.json"  # the latter lies with the result
PAIR = ("photograph-before.png", "photograph-after.png")  # the first, for the page


@user_errors
def begin(
    state: Session | None,
    chosen: list[tuple[str, str]] | None,
    folder: list[tuple[str, str]] | None,
    strength: float,
    lightness: float,
) -> None:
    """Recolour the photographs; a failed one is named and left out, and Stop keeps the finished ones."""
    visitor = current(state)
    look = looks.get(visitor)
    files = [*(chosen or []), *(folder or [])]
    if not files:
        raise ValueError("Please choose one or more photographs first")
    if len(files) > MOST:
        raise ValueError(f"{len(files)} files are too many at once; the most is {MOST}")
    baked = results.table(look, *results.strengths(strength, lightness))

    def act(job: Job) -> str:
        for name in (ZIP, PNG, FILE, *PAIR):
            look.path(name).unlink(missing_ok=True)
        outcome = (
            _recolor_one(look, files[0], baked) if len(files) == 1 else _recolor_many(job, look, files, baked)
        )
        write_json(look.path(FILE), outcome)
        return outcome["words"]

    again = (begin, [files, None, strength, lightness])
    jobs.begin(visitor.session, JOB, act, again=again, look=look.name)


def _recolor_one(look: Look, file: tuple[str, str], baked: Any) -> dict[str, Any]:
    picture = read_picture(file[1])
    output = picture.mapped(partial(lut.apply, baked))
    visits.make_room(look.session, output.rgb.nbytes // 2)
    images.save(output, look.path(PNG))
    _keep_pair(look, picture, output)
    unknown = "" if look.facts["kind"] == "cube" else " ".join(look.model.warnings(picture))
    failed, words = ([f"{unknown}."], "") if unknown else ([], f"{file[0]} is ready.")
    return {"words": words, "failed": failed, "notes": list(picture.notes), "of": file[0]}


def _recolor_many(job: Job, look: Look, files: list[tuple[str, str]], baked: Any) -> dict[str, Any]:
    failed, noted, written, part = [], list[str](), set[str](), look.path("photographs.part")
    stopped = False
    try:
        with ZipFile(part, "w", ZIP_STORED) as archive:
            for number, (name, path) in enumerate(files, 1):
                try:
                    job.tell(number - 1, len(files), f"{number} of {len(files)} photographs")
                    picture = read_picture(path)
                    output = picture.mapped(partial(lut.apply, baked))
                    data, inside = _encoded(output, name, written)
                    noted += [f"{name}: {text}" for text in (*picture.notes, *images.loss(output, inside))]
                    visits.make_room(look.session, len(data))
                    archive.writestr(inside, data)
                    if len(written) == 1:
                        _keep_pair(look, picture, output)
                except Stopped:
                    if not written:
                        raise
                    stopped = True
                    break
                except ValueError as error:
                    failed.append(f"{name}: {sentence(error)}")
        if not written:
            raise ValueError(f"None of the {len(files)} files could be recoloured. {failed[0]}")
        part.replace(look.path(ZIP))
    finally:
        part.unlink(missing_ok=True)
    words = f"{len(written)} of {len(files)} photographs are ready."
    return {"words": f"Stopped: {words}" if stopped else words, "failed": failed, "notes": noted, "of": ""}


def _encoded(picture: Picture, name: str, written: set[str]) -> tuple[bytes, str]:
    """Encode in the format of the file name (PNG if we cannot write that); the bytes and an unused name."""
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


def _keep_pair(look: Look, *pictures: Picture) -> None:
    for name, picture in zip(PAIR, pictures, strict=True):
        images.save(Picture(images.shrink(picture.on_white().rgb, looks.VIEW)), look.path(name))


@user_errors
def follow(state: Session | None) -> tuple[Any, ...]:
    """(before and after of the first, words and download, Stop, Start, timer)."""
    visitor = current(state)
    look, words, buttons = looks.outcome(visitor, JOB, FILE)
    if look is None:
        return gr.ImageSlider(visible=False), words, *buttons
    messages = "".join(_messages(visitor, read_json(look.path(FILE))))
    before, after = (str(look.path(name)) for name in PAIR)
    return gr.ImageSlider((before, after), visible=True), messages, *buttons


def _messages(visitor: Visit, outcome: dict[str, Any]) -> Iterator[str]:
    if outcome["words"]:
        yield note(outcome["words"], "warning" if outcome["failed"] else "good")
    yield from (note(text) for text in outcome["notes"])
    yield from (note(text, "warning") for text in outcome["failed"])
    if outcome["of"]:
        link = views.link(visitor, PNG, "Download the picture (PNG)", {"of": outcome["of"]}, main=True)
    else:
        link = views.link(visitor, ZIP, "Download all (ZIP)", main=True)
    yield downloads.links(link)


def build(visit: gr.State, strengths: list[gr.Slider]) -> wiring.Look:
    """The section's layout and wiring; what shows its state."""
    gr.Markdown("Give the same colours to other photographs: one, many, or a folder. Nothing is trained.")
    with gr.Row():
        with gr.Column(min_width=300):
            chosen = Uploads(label="Photographs", file_count="multiple", height=150, elem_id="photographs")
            folder = Uploads(label="or a whole folder", file_count="directory", height=110, elem_id="folder")
            start = gr.Button("Recolour", variant="primary", elem_id="recolor")
        with gr.Column(min_width=300):
            words = gr.HTML(elem_id="batch")
            stopper = gr.Button("Stop", variant="stop", visible=False)
            slider = gr.ImageSlider(
                label="The first, before and after",
                format="png",
                interactive=False,
                visible=False,
                max_height=480,
                buttons=["fullscreen"],
            )
    fields = [chosen, folder, *strengths]
    return wiring.job(visit, start, begin, fields, follow, [slider, words], stopper)
