"""Step 1: the picture: an upload, an example, a drawn scene or a result to edit further."""

import secrets
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import gradio as gr

from apps.image_editing import mask_panel, works
from apps.image_editing.visit import Visit, change, current, source_of
from apps.shared import results, visits
from apps.shared.faults import sentence, user_errors
from apps.shared.inputs import event_data, read_picture
from apps.shared.progress import note
from apps.shared.visits import Session
from vision_core.files import bundled
from vision_core.pictures import images
from vision_core.pictures.images import Picture
from vision_core.smallworld import world

EXAMPLES = bundled("assets") / "color"
NAMES = ("cat", "coffee", "palace", "rocket", "astronaut", "flower")
SCENE = 256  # pixels a side of a drawn scene
TINY = 8  # pixels a side below which there is nothing to edit


@user_errors
def take_example(state: Session | None, event: gr.EventData) -> str:
    """The path of an example photograph, or of a scene drawn now."""
    visitor, name = current(state), event_data(event, "value")
    if name == "scene":
        return draw(visitor)
    if name not in NAMES:
        raise ValueError(f"There is no example {name!r}")
    return str(visitor.session.path(keep(visitor, EXAMPLES / f"{name}.jpg")))


def draw(visitor: Visit, seed: int | None = None) -> str:
    """A scene of the small world as the source; the path of its picture."""
    number = secrets.randbelow(100_000) if seed is None else seed
    folder = Path(mkdtemp(dir=visits.uploads()))
    try:
        images.save(Picture(world.render(world.scene(number, 2), SCENE)), folder / "scene.png")
        name = keep(visitor, folder / "scene.png")
    finally:
        visits.remove(folder)
    chosen(visitor, name, number)
    return str(visitor.session.path(name))


def chosen(visitor: Visit, source: str, scene: int | None = None) -> Visit:
    """The visit with another picture, without mask and result."""
    return change(visitor.session, source=source, scene=scene, steps=(), at=0, boxes=(), result="")


@user_errors
def choose(state: Session | None, path: str | None) -> tuple[Any, ...]:
    """(message about the picture, canvas, caption); after a refused file no picture is chosen."""
    visitor = current(state)
    if not path:
        return "", mask_panel.canvas(chosen(visitor, "")), ""
    try:
        picture = read_picture(path)
        if min(picture.rgb.shape[:2]) < TINY:
            raise ValueError(f"A picture of less than {TINY} pixels a side holds nothing to edit")
    except ValueError as error:  # no other picture stays chosen
        visitor = chosen(visitor, "")
        return note(sentence(error), "warning"), mask_panel.canvas(visitor), ""
    if (name := keep(visitor, path)) != visitor.source:
        visitor = chosen(visitor, name)
    return describe(visitor, picture), mask_panel.canvas(visitor, picture), caption(visitor)


def describe(visitor: Visit, picture: Picture) -> str:
    """The sentence about the picture."""
    height, width = picture.rgb.shape[:2]
    kind = "" if visitor.scene is None else f"Scene {visitor.scene} of the small world"
    words = [f"{width:,} x {height:,} pixels", kind, *picture.notes]
    return note(". ".join(word.rstrip(".") for word in words if word) + ".")


def caption(visitor: Visit) -> str:
    """A description of a drawn scene; other pictures have none."""
    return "" if visitor.scene is None else str(world.caption(world.scene(visitor.scene, 2)))


def reload(visitor: Visit) -> tuple[Any, ...]:
    """(source, words, canvas, caption) of a visit that continues."""
    if not visitor.source:
        return None, "", mask_panel.canvas(visitor), ""
    picture = source_of(visitor)
    path = str(visitor.session.path(visitor.source))
    return path, describe(visitor, picture), mask_panel.canvas(visitor, picture), caption(visitor)


def keep(visitor: Visit, path: str | Path) -> str:
    """Copy an upload into the visitor's folder; returns its name there."""
    return visits.keep(visitor.session, path, results.removable(works.Work, visitor))
