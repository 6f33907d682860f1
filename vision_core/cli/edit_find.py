"""Commands that find places in a picture, by words, by eye or by pointing, and that draw scenes."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from typer import Argument, Option

from vision_core.cli.verbs import Answer, Device, Seed, command, noted


def register(app: typer.Typer) -> None:
    """Add the commands to the app of the editing system."""
    for function in (mask, regions, scene):
        command(app)(function)


def mask(
    image: Annotated[Path, Argument(help="A picture.")],
    out: Annotated[Path, Option(help="The mask to write, *.png.")],
    text: Annotated[str | None, Option(help="Words for the object to mark.")] = None,
    box: Annotated[str | None, Option(help="LEFT,TOP,RIGHT,BOTTOM around the object, in pixels.")] = None,
    point: Annotated[str | None, Option(help="X,Y on the object, in pixels.")] = None,
    sam: Annotated[
        Path | None, Option(help="Folder of another Segment Anything, a pair of ONNX files.")
    ] = None,
    damage: Annotated[bool, Option("--damage", help="Mark scratches, dust and folds automatically.")] = False,
    grow: Annotated[float, Option(help="Pixels to grow the mask by; negative values shrink it.")] = 0,
    invert: Annotated[bool, Option("--invert", help="Invert the mask.")] = False,
) -> Answer:
    """Mark an object by words, a box or a point, or mark damage. Exits with status 1 if nothing is found."""
    from vision_core import editing
    from vision_core.editing import masks
    from vision_core.editing.find import scratches
    from vision_core.pictures import images

    picture = images.read(image)
    if damage:
        marked = scratches.find(picture.seen)
        marked, score = (marked, 1.0) if marked.any() else (None, 0.0)
        text = text or "damage"
    else:
        marked, score = editing.select(picture, text, box, point, sam)
    if marked is None:
        return Answer(f"{text!r} was not found in {image}", {"found": False, "score": score}, incomplete=True)
    marked = masks.grow(marked, grow)
    marked = ~marked if invert else marked
    masks.save(masks.check(marked, *picture.rgb.shape[:2]), out)
    data = {"found": True, "score": score, "mask": str(out), "share": float(marked.mean())}
    return noted(Answer(f"{out}: {marked.mean():.1%} of the picture is marked", data), picture)


def regions(
    image: Annotated[Path, Argument(help="A picture.")],
    out: Annotated[Path | None, Option(help="Picture with the boxes to write, *.png.")] = None,
    anchors: Annotated[int, Option(min=1, max=64)] = 9,
    max_window: Annotated[int, Option(min=4, max=16)] = 15,
    backend: Annotated[str, Option(help="Saliency of tiny, photo or diffusers.")] = "photo",
    vit: Annotated[str | None, Option(help="Folder or repository of a ViT.")] = None,
    device: Device = "auto",
) -> Answer:
    """Find salient anchors, and boxes of every size around each."""
    from vision_core import editing
    from vision_core.pictures import images

    picture = images.read(image)
    proposals = editing.find_regions(
        picture, editing.load_saliency(vit, backend, device), anchors, max_window
    )
    if out:
        middle = [row[len(row) // 2] for row in proposals.boxes]
        images.save(images.Picture(editing.draw_boxes(picture.on_white().rgb, middle, 0)), out)
    lines = [f"{a.x:.2f}, {a.y:.2f}: {a.saliency:.2f}" for a in proposals.anchors]
    data = {
        "anchors": [asdict(a) for a in proposals.anchors],
        "boxes": [[[b.left, b.top, b.right, b.bottom] for b in row] for row in proposals.boxes],
        "sizes": list(proposals.sizes),
    }
    return noted(Answer("\n".join(lines), data), picture)


def scene(
    out: Annotated[Path, Option(help="The picture to write, *.png.")],
    seed: Seed = 0,
    size: Annotated[int, Option(min=32, max=2048, help="Pixels a side.")] = 128,
) -> Answer:
    """Draw a scene of the small world, with its caption and a mask of each thing."""
    from vision_core.editing import masks
    from vision_core.pictures import images
    from vision_core.smallworld import world

    drawn = world.scene(seed)
    images.save(images.Picture(world.render(drawn, size)), out)
    files = []
    for number, thing in enumerate(world.masks(drawn, size)):
        files.append(str(out.with_name(f"{out.stem}_mask{number}.png")))
        masks.save(thing, files[-1])
    caption = str(world.caption(drawn))
    return Answer(f"{out}: {caption}", {"out": str(out), "caption": caption, "masks": files})
