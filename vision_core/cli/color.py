"""Commands of the colour system."""

from pathlib import Path
from types import ModuleType
from typing import Annotated, Any

import typer
from typer import Argument, Option

from vision_core.cli.training import Started, training
from vision_core.cli.verbs import Answer, Ray, Workers, command, run_folder, watch, with_notes

app = typer.Typer(
    help="Colour transfer: palettes, trained colour maps, LUTs, low poly.", no_args_is_help=True
)

Image = Annotated[Path, Argument(help="PNG, JPEG, WebP, TIFF, BMP, GIF, AVIF or HEIC.")]
Model = Annotated[Path, Option(help="A model from `color train`: .safetensors or .pth.")]
Strength = Annotated[float, Option(help="Of the colour: 0 is the original, 1 the map.")]
LightnessStrength = Annotated[float, Option(help="Of the lightness: 0 is the original, 1 the map.")]


@command(app)
def palette(
    image: Image,
    clusters: Annotated[int, Option(min=1, max=256, help="K-means clusters.")] = 25,
    colors: Annotated[int, Option(min=1, max=64, help="Most distinct of their centres.")] = 10,
    space: Annotated[str, Option(help="lab or oklab.")] = "lab",
    out: Annotated[Path | None, Option(help="Palette file: .gpl .ase .hex .txt .json .css")] = None,
) -> Answer:
    """Find the palette of a picture: its most distinct colours and their shares."""
    from vision_core.color import palette_files
    from vision_core.color.palette import extract
    from vision_core.pictures import images

    found = extract(images.read(image).visible, clusters, colors, space)  # pyright: ignore[reportArgumentType]
    if out is not None:
        palette_files.write(out, found, image.stem)
    hexes = palette_files.to_hex(found.colors)
    lines = [f"{color}  {share:6.1%}" for color, share in zip(hexes, found.shares, strict=True)]
    if len(hexes) < colors:
        lines.append(f"note: {_fewer(len(hexes), colors)}")
    return Answer(
        "\n".join(lines), {"colors": hexes, "shares": found.shares.tolist(), "file": out and str(out)}
    )


def _start(
    trainer: ModuleType,
    out: Path | None,
    replace: bool,
    given: dict[str, Any],
    source: Annotated[Path | None, Argument(help="Picture whose colours change.")] = None,
    target: Annotated[
        Path | None, Argument(help="Picture whose palette they take; or give --palette.")
    ] = None,
    save: Annotated[
        Path | None, Option(help="Where the model goes, .safetensors or .pth, beside the run.")
    ] = None,
    palette: Annotated[Path | None, Option(help="A palette file instead of TARGET.")] = None,
    clusters: Annotated[int, Option(min=1, max=256, help="Colours of TARGET to begin with.")] = 25,
    colors: Annotated[int, Option(min=1, max=64, help="Colours of its palette.")] = 10,
    weight: Annotated[
        list[str] | None, Option(help="Weight of a loss, e.g. smoothness=8; may be repeated.")
    ] = None,
) -> Started:
    from vision_core import color, runs
    from vision_core.color import palette_files
    from vision_core.pictures import images

    if source is None or (target is None) == (palette is None):
        raise ValueError("give a SOURCE picture, and either a TARGET picture or --palette FILE")
    if save is not None:
        _saved_as(save)
        out = out or runs.new_folder("runs", "color")
    folder = run_folder(out)
    notes: list[str] = []
    settings = color.Settings(**given, weights=_weights(weight or []))
    if palette is not None:
        wanted = palette_files.read(palette)
    else:
        wanted = color.extract(images.read(target or source).visible, clusters, colors)
        if len(wanted.colors) < colors:
            notes.append(_fewer(len(wanted.colors), colors))
    events = color.train(
        color.count_picture(images.read(source)),
        wanted,
        settings,
        out=folder,
        save=save,
        replace=replace,
        names={"source_image": source.name, "target_image": (palette or target or source).name},
    )
    return folder, events, notes


@training(app, "vision_core.color.trainer", start=_start)
def train(folder: Path, color_map: Any) -> Answer:
    """Train a colour map from the colours of SOURCE to the palette of TARGET.

    With --save and without --out the run goes to runs/color, into a folder named after the time.
    """
    from vision_core import runs

    saved = runs.Run(folder).config.get("save")
    facts = {
        "model": str(saved or folder / "last.safetensors"),
        "run": str(folder),
        "epochs": color_map.metadata["training_epochs"],
        "final_loss": color_map.metadata["final_loss"],
        **{name: color_map.metadata.get(name) for name in ("source_image", "target_image")},
    }
    return Answer(f"{facts['model']}: {facts['epochs']} epochs, loss {facts['final_loss']:.4f}", facts)


@command(app)
def apply(
    image: Annotated[list[Path], Argument(help="Pictures, or folders of pictures.")],
    model: Annotated[Path | None, Option(help="A model from `color train`: .safetensors or .pth.")] = None,
    lut: Annotated[
        Path | None, Option(help="Or a LUT of any program: .cube, or a LUT picture (.png).")
    ] = None,
    *,
    out: Annotated[Path, Option(help="A file for one picture, else a folder.")],
    strength: Strength = 1.0,
    lightness_strength: LightnessStrength = 1.0,
    skip_existing: Annotated[
        bool, Option("--skip-existing", help="Leave what is there, to go on with a stopped batch.")
    ] = False,
    ray: Ray = None,
    workers: Workers = None,
) -> Answer:
    """Recolour pictures of any size with a trained map or a stored LUT.

    A picture that cannot be read is left out and the exit status is then 1.
    """
    from PIL.Image import registered_extensions

    from vision_core import cluster, color, folders
    from vision_core.color import lut_files
    from vision_core.color.recolorer import Recolorer

    if (model is None) == (lut is None):
        raise ValueError("give either --model FILE or --lut FILE")
    if out.suffix.lower() in registered_extensions() and not out.is_dir():
        _drawn_as(out)
    targets, passed = folders.targets(image, out)
    color_map = None if model is None else color.load(model)
    stored = None if lut is None else lut_files.read(lut)

    recolorer = Recolorer(
        color_map, stored, strength, lightness_strength, color_map is not None and len(targets) == 1
    )
    taken = cluster.below(cluster.as_typed(out)) if skip_existing and cluster.is_url(out) else None
    there = [
        str(target)
        for target in targets.values()
        if skip_existing and (target.exists() if taken is None else target.name in taken)
    ]
    todo = [(source, target) for source, target in targets.items() if str(target) not in there]
    found = {done.item: done for done in cluster.files(todo, recolorer, ray, workers)}
    outcomes = [found[pair] for pair in todo]
    written = {cluster.as_typed(done.item[1]): done.result or [] for done in outcomes if not done.error}
    failed = {str(done.item[0]): done.error for done in outcomes if done.error}
    if failed and not written and not there:
        raise ValueError("; ".join(dict.fromkeys(failed.values())))
    lines = [f"{goal}{with_notes(notes)}" for goal, notes in written.items()]
    lines += [f"{goal} is there already" for goal in there]
    lines += [f"left out: {reason}" for reason in failed.values()] + passed
    data = {"written": written, "skipped": there, "failed": failed, "notes": passed}
    return Answer("\n".join(lines), data, bool(failed))


@command(app)
def lowpoly(
    image: Image,
    out: Annotated[Path, Option(help=".png or .svg")],
    model: Annotated[Path | None, Option(help="Colour the triangles with this model.")] = None,
    palette: Annotated[Path | None, Option(help="Or with the nearest colours of this palette file.")] = None,
    threshold: Annotated[
        float, Option(help="Edge strength 0..255 from which a pixel may become a point.")
    ] = 50,
    density: Annotated[float, Option(help="One of so many edge pixels becomes a point.")] = 60,
    wireframe: Annotated[bool, Option("--wireframe", help="Draw the sides only (PNG).")] = False,
    seed: Annotated[int, Option(min=0, max=2**63 - 1)] = 0,
    scatter: Annotated[bool, Option("--scatter", help="As many points, but anywhere.")] = False,
) -> Answer:
    """Redraw a picture as triangles between points on its edges."""
    from vision_core import color, files
    from vision_core.color import lowpoly as low
    from vision_core.color import palette_files
    from vision_core.color.palette import nearest
    from vision_core.pictures import images

    suffix = out.suffix.lower()
    if suffix not in (".png", ".svg") or (wireframe and suffix == ".svg"):
        raise ValueError(f"low poly is saved as .png or .svg, a wireframe as .png; not as {out.name}")
    picture = images.read(image)
    mesh = low.triangulate(picture.seen, threshold, density, seed, scatter, picture.alpha)
    colors = low.triangle_colors(mesh, picture.seen)
    if model is not None:
        colors = color.load(model).recolor_colors(colors)
    elif palette is not None:
        colors = nearest(colors, palette_files.read(palette))
    if suffix == ".svg":
        files.write_text(out, low.render_svg(mesh, colors, picture.alpha))
    else:
        wires = images.Picture(low.wireframe(mesh)) if wireframe else None
        images.save(wires or low.draw(mesh, colors, picture.alpha), out)
    facts = {"file": str(out), "triangles": len(mesh.triangles), "points": len(mesh.points)}
    return Answer(f"{out}: {facts['triangles']} triangles", facts)


@command(app)
def lut(
    model: Model,
    out: Annotated[Path, Option(help=".cube, or .png for a HaldCLUT")],
    size: Annotated[int, Option(min=2, max=129, help="Nodes a side; a HaldCLUT always has 64.")] = 65,
    strength: Strength = 1.0,
    lightness_strength: LightnessStrength = 1.0,
) -> Answer:
    """Export a trained map as a LUT for photo and video programs, strengths baked in."""
    from vision_core import color
    from vision_core.color import lut as luts
    from vision_core.color import lut_files

    color_map = color.load(model)
    size = 64 if out.suffix.lower() == ".png" else size
    baked = color_map.lut(size)
    lut_files.write(out, luts.with_strength(baked, strength, lightness_strength), model.stem)
    gap = luts.distance(baked, color_map, color_map.sample_colors())
    text = f"{out}: {size} nodes a side; 99 % of the colours are within {gap['p99']:.2f}/255 of the network"
    return Answer(text, {"file": str(out), "size": size, "distance": gap})


@command(app)
def compare(
    source: Annotated[Path, Argument(help="Picture whose colours change.")],
    target: Annotated[Path, Argument(help="Picture whose palette they take.")],
    out: Annotated[Path, Option(help="The grid as an image; the table goes beside it as .json.")],
    model: Annotated[Path | None, Option(help="A model trained before; without it, one is trained.")] = None,
    epochs: Annotated[int, Option(min=1)] = 1000,
    seed: Annotated[int, Option(min=0, max=2**63 - 1)] = 0,
) -> Answer:
    """Compare the trained map with the classic methods, in one grid and one table."""
    import time

    from vision_core import color, files
    from vision_core.color import compare as comparing
    from vision_core.pictures import images

    _drawn_as(out)
    read, goal = images.read(source), images.read(target)
    picture, wanted, began = read.seen, color.extract(goal.visible), time.perf_counter()
    if model is not None:
        color_map = color.load(model)
    else:
        color_map = watch(
            color.train(color.count_picture(read), wanted, color.Settings(epochs=epochs, seed=seed)), "train"
        )
    entries = comparing.compare(picture, wanted, color_map, goal.seen, time.perf_counter() - began)
    results = {entry.name: read.with_rgb(entry.image) for entry in entries}
    shown = {"Source": read, "Target": goal, **results}
    grid = comparing.grid({name: one.on_white().rgb for name, one in shown.items()})
    images.save(images.Picture(grid), out)
    rows = comparing.table(entries)
    files.write_json(out.with_suffix(".json"), rows)
    return Answer(f"{out}\n{_as_text(rows, comparing.COLUMNS)}", {"file": str(out), "table": rows})


@command(app)
def feedback(
    model: Model,
    source: Annotated[Path, Option(help="The picture that the ratings are about.")],
    rate: Annotated[
        list[str], Option(help="COLOUR=USAGE, e.g. '#aabbcc=1': -2 used much too much ... 2 much too little.")
    ],
    misplaced: Annotated[list[str] | None, Option(help="A colour that stands in the wrong places.")] = None,
    epochs: Annotated[int, Option(min=1)] = 150,
    save: Annotated[Path | None, Option(help=r"Where the new model goes. \[default: over --model]")] = None,
) -> Answer:
    """Rate how a model uses its palette, and fine-tune it accordingly."""
    from vision_core import color
    from vision_core.color import feedback as rating
    from vision_core.color import palette_files
    from vision_core.pictures import images

    _saved_as(save or model)
    if unrated := [entry for entry in rate if "=" not in entry]:
        raise ValueError(f"--rate {unrated[0]} gives no usage: write '{unrated[0]}=1' for too little")
    color_map, picture = color.load(model), images.read(source)
    hexes = palette_files.to_hex(color_map.palette.colors)
    usage = {
        _known(name, hexes): _number(value) for name, _, value in (entry.partition("=") for entry in rate)
    }
    wrong = {_known(name, hexes) for name in misplaced or []}
    ratings = [rating.Rating(usage.get(name, 0.0), name not in wrong) for name in hexes]
    earlier = rating.read(model, color_map.palette)
    shares, bad = rating.wishes(color_map.palette, [*earlier, ratings])
    events = color.fine_tune(color_map, color.count_picture(picture), shares, bad, epochs=epochs)
    tuned = watch(events, "fine-tune")
    color.save(tuned, save or model)
    rating.add(save or model, color_map.palette, ratings, before=model)
    before, after = (m.used_shares(picture.visible[None]) for m in (color_map, tuned))
    rows = [
        {
            "color": name,
            "rated": usage.get(name, 0.0),
            "before": float(b),
            "wanted": float(w),
            "after": float(a),
        }
        for name, b, w, a in zip(hexes, before, shares, after, strict=True)
    ]
    columns = (
        ("color", "Colour"),
        ("rated", "Rated"),
        ("before", "Used before"),
        ("wanted", "Wanted"),
        ("after", "Used now"),
    )
    return Answer(f"{save or model}\n{_as_text(rows, columns)}", {"model": str(save or model), "usage": rows})


def _fewer(found: int, asked: int) -> str:
    return f"the picture has {found} clearly different colour{'s' * (found > 1)}, {asked} were asked for"


def _drawn_as(path: Path) -> None:
    from vision_core.pictures.images import SUFFIXES

    if path.suffix.lower() not in SUFFIXES:
        raise ValueError(f"--out is {path}: a picture is saved as {', '.join(SUFFIXES)}")


def _saved_as(path: Path) -> None:
    if path.suffix not in (".safetensors", ".pth"):
        raise ValueError(f"--save is {path}; a model is saved as .safetensors or .pth")


def _weights(entries: list[str]) -> Any:
    from dataclasses import asdict

    from vision_core.color import LossWeights

    values = asdict(LossWeights())
    for name, _, value in (entry.partition("=") for entry in entries):
        if name not in values:
            raise ValueError(f"there is no loss {name!r}; there are {', '.join(values)}")
        values[name] = _number(value)
    return LossWeights(**values)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a number") from None


def _known(name: str, hexes: list[str]) -> str:
    if (lower := name.lower()) not in hexes:
        raise ValueError(f"{name} is not in the model's palette: {', '.join(hexes)}")
    return lower


def _as_text(rows: list[dict[str, Any]], columns: tuple[tuple[str, str], ...]) -> str:
    def cell(value: Any) -> str:
        return f"{value:.3f}" if isinstance(value, float) else str(value)

    lines = [[title for _, title in columns], *([cell(row[key]) for key, _ in columns] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )
