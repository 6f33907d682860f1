"""Commands of the colour system."""

from pathlib import Path
from types import ModuleType
from typing import Annotated, Any

import typer
from typer import Argument, Option

from vision_core.cli.training import Started, training
from vision_core.cli.verbs import Answer, Ray, Workers, command, noted, run_folder, watch, with_notes
from vision_core.settings import COUNT

app = typer.Typer(
    help="Colour transfer: palettes, trained colour maps, LUTs, low poly.", no_args_is_help=True
)

Image = Annotated[Path, Argument(help="PNG, JPEG, WebP, TIFF, BMP, GIF, AVIF or HEIC.")]
Model = Annotated[Path, Option(help="A model from `color train`: .safetensors or .pth.")]
Strength = Annotated[float, Option(help="Strength of the colour change, 0 to 1.")]
LightnessStrength = Annotated[float, Option(help="Strength of the lightness change, 0 to 1.")]


@command(app)
def palette(
    image: Image,
    clusters: Annotated[int, Option(min=1, max=256, help="K-means clusters.")] = 25,
    colors: Annotated[int, Option(min=1, max=64, help="Size of the palette.")] = 10,
    space: Annotated[str, Option(help="Colour space: lab or oklab.")] = "lab",
    out: Annotated[Path | None, Option(help="Palette file: .gpl .ase .hex .txt .json .css")] = None,
) -> Answer:
    """Extract the palette of a picture: its most distinct colours and their shares."""
    from vision_core.color import palette_files
    from vision_core.color.palette import extract
    from vision_core.pictures import images

    picture = images.read(image)
    extracted = extract(picture.visible, clusters, colors, space)  # pyright: ignore[reportArgumentType]
    if out is not None:
        palette_files.write(out, extracted, image.stem)
    hexes = palette_files.to_hex(extracted.colors)
    lines = [f"{color}  {share:6.1%}" for color, share in zip(hexes, extracted.shares, strict=True)]
    if len(hexes) < colors:
        lines.append(f"note: {_fewer(len(hexes), colors)}")
    data = {"colors": hexes, "shares": extracted.shares.tolist(), "file": out and str(out)}
    return noted(Answer("\n".join(lines), data), picture)


def _start(
    trainer: ModuleType,
    out: Path | None,
    replace: bool,
    given: dict[str, Any],
    source: Annotated[Path | None, Argument(help="Picture to recolour.")] = None,
    target: Annotated[
        Path | None, Argument(help="Picture that provides the palette; or use --palette.")
    ] = None,
    save: Annotated[Path | None, Option(help="Also save the model to this .safetensors or .pth.")] = None,
    palette: Annotated[Path | None, Option(help="A palette file instead of TARGET.")] = None,
    clusters: Annotated[int, Option(min=1, max=256, help="K-means clusters of TARGET.")] = 25,
    colors: Annotated[int, Option(min=1, max=64, help="Size of the palette.")] = 10,
    weight: Annotated[
        list[str] | None, Option(help="Weight of a loss term, e.g. smoothness=8; may be repeated.")
    ] = None,
) -> Started:
    from vision_core import color, runs
    from vision_core.color import palette_files
    from vision_core.pictures import images

    if source is None or (target is None) == (palette is None):
        raise ValueError("give a SOURCE picture, and either a TARGET picture or --palette FILE")
    if save is not None:
        _check_model_suffix(save)
        out = out or runs.new_folder("runs", "color")
    folder = run_folder(out)
    source_picture = images.read(source)
    notes = [*source_picture.notes]
    settings = color.Settings(**given, weights=_weights(weight or []))
    if palette is not None:
        target_palette = palette_files.read(palette)
    else:
        target_picture = images.read(target or source)
        notes += target_picture.notes
        target_palette = color.extract(target_picture.visible, clusters, colors)
        if len(target_palette.colors) < colors:
            notes.append(_fewer(len(target_palette.colors), colors))
    events = color.train(
        color.count_picture(source_picture),
        target_palette,
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

    Without --out, --save creates a run in runs/color, in a folder named after the current time.
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
    image: Annotated[list[Path], Argument(help="Pictures or folders of pictures.")],
    model: Annotated[Path | None, Option(help="A model from `color train`: .safetensors or .pth.")] = None,
    lut: Annotated[
        Path | None, Option(help="Or a LUT from any program: .cube, or a LUT picture (.png).")
    ] = None,
    *,
    out: Annotated[Path, Option(help="Output file for one picture, else a folder.")],
    strength: Strength = 1.0,
    lightness_strength: LightnessStrength = 1.0,
    skip_existing: Annotated[
        bool, Option("--skip-existing", help="Skip existing results, to continue a batch.")
    ] = False,
    ray: Ray = None,
    workers: Workers = None,
) -> Answer:
    """Recolour pictures of any size with a trained map or a LUT.

    Pictures that cannot be read are skipped, and the exit status is then 1.
    """
    from PIL.Image import registered_extensions

    from vision_core import cluster, color, folders
    from vision_core.color import lut_files
    from vision_core.color.recolorer import Recolorer

    if (model is None) == (lut is None):
        raise ValueError("give either --model FILE or --lut FILE")
    if out.suffix.lower() in registered_extensions() and not out.is_dir():
        _check_picture_suffix(out)
    targets, notes = folders.targets(image, out)
    color_map = None if model is None else color.load(model)
    stored = None if lut is None else lut_files.read(lut)

    recolorer = Recolorer(
        color_map, stored, strength, lightness_strength, color_map is not None and len(targets) == 1
    )
    uploaded = cluster.below(cluster.as_typed(out)) if skip_existing and cluster.is_url(out) else None
    skipped = [
        str(target)
        for target in targets.values()
        if skip_existing and (target.exists() if uploaded is None else target.name in uploaded)
    ]
    todo = [(source, target) for source, target in targets.items() if str(target) not in skipped]
    by_pair = {done.item: done for done in cluster.files(todo, recolorer, ray, workers)}
    outcomes = [by_pair[pair] for pair in todo]
    written = {cluster.as_typed(done.item[1]): done.result or [] for done in outcomes if not done.error}
    failed = {str(done.item[0]): done.error for done in outcomes if done.error}
    if failed and not written and not skipped:
        raise ValueError("; ".join(dict.fromkeys(failed.values())))
    lines = [f"{path}{with_notes(own_notes)}" for path, own_notes in written.items()]
    lines += [f"{path} already exists" for path in skipped]
    lines += [f"skipped: {reason}" for reason in failed.values()] + notes
    data = {"written": written, "skipped": skipped, "failed": failed, "notes": notes}
    return Answer("\n".join(lines), data, bool(failed))


@command(app)
def lowpoly(
    image: Image,
    out: Annotated[Path, Option(help=".png or .svg")],
    model: Annotated[Path | None, Option(help="Colour the triangles with this model.")] = None,
    palette: Annotated[Path | None, Option(help="Or with the nearest colours in this palette file.")] = None,
    threshold: Annotated[
        float, Option(help="Edge strength, 0 to 255, above which a pixel may become a point.")
    ] = 50,
    density: Annotated[float, Option(help="One in this many edge pixels becomes a point.")] = 60,
    wireframe: Annotated[bool, Option("--wireframe", help="Draw only the edges.")] = False,
    seed: Annotated[int, Option(min=0, max=2**63 - 1)] = 0,
    scatter: Annotated[
        bool, Option("--scatter", help="Distribute the points uniformly instead of along edges.")
    ] = False,
) -> Answer:
    """Redraw a picture as low-poly art: triangles between points on its edges."""
    from vision_core import color, files
    from vision_core.color import lowpoly as low
    from vision_core.color import palette_files
    from vision_core.color.palette import nearest
    from vision_core.pictures import images

    suffix = out.suffix.lower()
    if suffix not in (".png", ".svg"):
        raise ValueError(f"low poly is saved as .png or .svg, not as {out.name}")
    picture = images.read(image)
    mesh = low.triangulate(picture.seen, threshold, density, seed, scatter, picture.alpha)
    colors = low.triangle_colors(mesh, picture.seen)
    if model is not None:
        colors = color.load(model).recolor_colors(colors)
    elif palette is not None:
        colors = nearest(colors, palette_files.read(palette))
    if suffix == ".svg":
        drawn = low.wireframe_svg(mesh) if wireframe else low.render_svg(mesh, colors, picture.alpha)
        files.write_text(out, drawn)
    else:
        wires = images.Picture(low.wireframe(mesh)) if wireframe else None
        images.save(wires or low.draw(mesh, colors, picture.alpha), out)
    facts = {"file": str(out), "triangles": len(mesh.triangles), "points": len(mesh.points)}
    return noted(Answer(f"{out}: {facts['triangles']} triangles", facts), picture)


@command(app)
def lut(
    model: Model,
    out: Annotated[Path, Option(help=".cube, or .png for a HaldCLUT")],
    size: Annotated[int, Option(min=2, max=129, help="Nodes per axis; a HaldCLUT always has 64.")] = 65,
    strength: Strength = 1.0,
    lightness_strength: LightnessStrength = 1.0,
) -> Answer:
    """Export a trained map, with its strengths, as a LUT for photo and video programs."""
    from vision_core import color
    from vision_core.color import lut as luts
    from vision_core.color import lut_files

    color_map = color.load(model)
    size = 64 if out.suffix.lower() == ".png" else size
    baked = color_map.lut(size)
    lut_files.write(out, luts.with_strength(baked, strength, lightness_strength), model.stem)
    error = luts.distance(baked, color_map, color_map.sample_colors())
    text = (
        f"{out}: {size} nodes per axis; 99 % of the colours are within {error['p99']:.2f}/255 of the network"
    )
    return Answer(text, {"file": str(out), "size": size, "distance": error})


@command(app)
def compare(
    source: Annotated[Path, Argument(help="Picture to recolour.")],
    target: Annotated[Path, Argument(help="Picture that provides the palette.")],
    out: Annotated[Path, Option(help="Picture of the grid; the table is written next to it as .json.")],
    model: Annotated[Path | None, Option(help="A trained model; by default, one is trained.")] = None,
    epochs: Annotated[int, Option(min=1, max=COUNT)] = 1000,
    seed: Annotated[int, Option(min=0, max=2**63 - 1)] = 0,
) -> Answer:
    """Compare the trained map with classical methods: a grid of results and a table of metrics."""
    import time

    from vision_core import color, files
    from vision_core.color import compare as comparing
    from vision_core.pictures import images

    _check_picture_suffix(out)
    source_picture, target_picture = images.read(source), images.read(target)
    palette, start = color.extract(target_picture.visible), time.perf_counter()
    if model is not None:
        color_map = color.load(model)
    else:
        color_map = watch(
            color.train(
                color.count_picture(source_picture), palette, color.Settings(epochs=epochs, seed=seed)
            ),
            "train",
        )
    seconds = time.perf_counter() - start
    entries = comparing.compare(source_picture.seen, palette, color_map, target_picture.seen, seconds)
    results = {entry.name: source_picture.with_rgb(entry.image) for entry in entries}
    pictures = {"Source": source_picture, "Target": target_picture, **results}
    grid = comparing.grid({name: picture.on_white().rgb for name, picture in pictures.items()})
    images.save(images.Picture(grid), out)
    rows = comparing.table(entries)
    files.write_json(out.with_suffix(".json"), rows)
    answer = Answer(f"{out}\n{_as_text(rows, comparing.COLUMNS)}", {"file": str(out), "table": rows})
    return noted(answer, source_picture, target_picture)


@command(app)
def feedback(
    model: Model,
    source: Annotated[Path, Option(help="The picture that was rated.")],
    rate: Annotated[
        list[str],
        Option(help="COLOUR=USAGE, e.g. '#aabbcc=1', from -2 (far too much) to 2 (far too little)."),
    ],
    misplaced: Annotated[list[str] | None, Option(help="A colour that appears in the wrong places.")] = None,
    epochs: Annotated[int, Option(min=1, max=COUNT)] = 150,
    save: Annotated[
        Path | None, Option(help=r"File for the new model. \[default: overwrites --model]")
    ] = None,
) -> Answer:
    """Rate how a model uses its palette, and fine-tune it on the ratings."""
    from vision_core import color
    from vision_core.color import feedback as rating
    from vision_core.color import palette_files
    from vision_core.pictures import images

    _check_model_suffix(save or model)
    if unrated := [entry for entry in rate if "=" not in entry]:
        raise ValueError(f"--rate {unrated[0]} has no usage: write '{unrated[0]}=1' for too little")
    color_map, picture = color.load(model), images.read(source)
    hexes = palette_files.to_hex(color_map.palette.colors)
    usage = {
        _in_palette(name, hexes): _number(value)
        for name, _, value in (entry.partition("=") for entry in rate)
    }
    wrong = {_in_palette(name, hexes) for name in misplaced or []}
    ratings = [rating.Rating(usage.get(name, 0.0), name not in wrong) for name in hexes]
    earlier = rating.read(model, color_map.palette)
    shares, wrong_colors = rating.wishes(color_map.palette, [*earlier, ratings])
    events = color.fine_tune(color_map, color.count_picture(picture), shares, wrong_colors, epochs=epochs)
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
        ("wanted", "Target"),
        ("after", "Used after"),
    )
    data = {"model": str(save or model), "usage": rows}
    return noted(Answer(f"{save or model}\n{_as_text(rows, columns)}", data), picture)


def _fewer(count: int, requested: int) -> str:
    return f"the picture has only {count} distinct colour{'s' * (count > 1)}, {requested} were requested"


def _check_picture_suffix(path: Path) -> None:
    from vision_core.pictures.images import SUFFIXES

    if path.suffix.lower() not in SUFFIXES:
        raise ValueError(f"--out is {path}; a picture is saved as {', '.join(SUFFIXES)}")


def _check_model_suffix(path: Path) -> None:
    if path.suffix not in (".safetensors", ".pth"):
        raise ValueError(f"--save is {path}; a model is saved as .safetensors or .pth")


def _weights(entries: list[str]) -> Any:
    from dataclasses import asdict

    from vision_core.color import LossWeights

    values = asdict(LossWeights())
    for name, _, value in (entry.partition("=") for entry in entries):
        if name not in values:
            raise ValueError(f"there is no loss term {name!r}, expected one of {', '.join(values)}")
        values[name] = _number(value)
    return LossWeights(**values)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a number") from None


def _in_palette(name: str, hexes: list[str]) -> str:
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
