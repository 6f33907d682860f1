"""Commands for folders of leaf pictures: count, split, augment, measure and draw them."""

from pathlib import Path
from typing import Annotated, Any

import typer
from typer import Argument, Option

from vision_core.cli.verbs import Answer, Seed, command, watch
from vision_core.settings import COUNT

Data = Annotated[Path, Argument(help="Folder, or ZIP of one, whose subfolders are the classes.")]


def register(app: typer.Typer) -> None:
    """Add the commands to the app of the leaf system."""
    for function in (distribution, split, augment, transform, generate):
        command(app)(function)


def distribution(
    data: Data, out: Annotated[Path | None, Option(help="Figure to write: *.html.")] = None
) -> Answer:
    """Count the pictures of each class; reports imbalance and unreadable files."""
    from vision_core import leaves, plots
    from vision_core.leaves.plots import distribution

    with leaves.unpacked(data) as folder:
        survey = leaves.survey(folder)
    counts, report = survey.counts(), leaves.imbalance(survey.counts())
    if out is not None:
        plots.save(distribution(counts), _page(out))
    lines = [f"{name}: {count}" for name, count in counts.items()]
    if report["small"]:
        lines.append(f"less than half as many as the mean: {', '.join(report['small'])}")
    if any(survey.sides):
        for side in dict.fromkeys(survey.sides):
            part = survey.part(side).counts()
            lines.append(f"{side}: {', '.join(f'{name} {count}' for name, count in part.items())}")
            report.setdefault("splits", {})[side] = part
    lines += notes(survey.notes) + skipped_lines(survey.skipped)
    report |= {"skipped": list(survey.skipped), "notes": list(survey.notes)}
    return Answer("\n".join(lines), {**report, "counts": counts, "file": out and str(out)})


def split(
    data: Data,
    out: Annotated[Path | None, Option(help="Manifest to write: *.json.")] = None,
    groups: Annotated[
        Path | None, Option(help="CSV file, columns file and leaf_group: pictures of one leaf.")
    ] = None,
    seed: Seed = 0,
) -> Answer:
    """Divide a folder into training, validation and test pictures, and report near duplicates."""
    from vision_core import leaves

    survey = leaves.survey(data)
    manifest = leaves.split(survey, seed, groups=groups)
    if out is not None:
        manifest.save(out)
    lines = [
        f"{name}: {n['train']} train, {n['validation']} validation, {n['test']} test"
        for name, n in manifest.counts().items()
    ]
    sides = {photo.file: photo.split for photo in manifest.photos}
    crossing = sum(sides[a] != sides[b] for a, b in manifest.leaks)
    where = f"{crossing} of them in two of the folder's own splits" if crossing else "each kept on one side"
    lines.append(f"near duplicates: {len(manifest.leaks)} pairs, {where}")
    lines += [f"one picture in two classes: {a} and {b}" for a, b in manifest.conflicts]
    answer = {
        "counts": manifest.counts(),
        "leaks": [list(pair) for pair in manifest.leaks],
        "conflicts": [list(pair) for pair in manifest.conflicts],
        "skipped": list(manifest.skipped),
        "notes": list(survey.notes),
        "file": out and str(out),
    }
    return Answer("\n".join([*lines, *notes(survey.notes), *skipped_lines(manifest.skipped)]), answer)


def augment(
    source: Annotated[Path, Argument(help="A picture, or a folder whose subfolders are the classes.")],
    out: Annotated[Path, Option(help="Folder for the pictures made.")],
    balance: Annotated[
        bool, Option("--balance", help="Fill up each class to the size of the largest.")
    ] = False,
    seed: Seed = 0,
) -> Answer:
    """Write six augmentations of a picture, or of one picture per class; or balance the classes."""
    from vision_core import leaves
    from vision_core.pictures import images

    if balance:
        survey = leaves.survey(source)
        files = {name: [] for name in survey.classes}
        for file, label, side in zip(survey.files, survey.labels, survey.sides, strict=True):
            if side in ("", "train"):
                files[survey.classes[label]].append(file)
        written = leaves.balance(source, files, out, seed)
        text = "\n".join(f"{name}: {count} more" for name, count in written.items())
        return Answer(f"{text}\nwritten to {out}", {"written": written, "out": str(out)})
    chosen = _one_of_each(source) if source.is_dir() else [source]
    paths = []
    for path in chosen:
        for kind, picture in leaves.gallery(images.read(path), seed).items():
            name = f"{path.parent.name}_{path.stem}" if source.is_dir() else path.stem
            images.save(picture, out / f"{name}_{kind}.png")
            paths.append(str(out / f"{name}_{kind}.png"))
    return Answer(f"{len(paths)} pictures written to {out}", {"files": paths, "kinds": list(leaves.KINDS)})


def transform(
    source: Annotated[Path, Argument(help="A picture of a leaf, or a folder of them.")],
    out: Annotated[Path, Option(help="Folder for the pictures and measurements.")],
) -> Answer:
    """Segment and measure leaves: mask, region, shape, landmarks and colour histogram."""
    from vision_core import leaves, plots
    from vision_core.files import write_json
    from vision_core.leaves.folders import pictures
    from vision_core.leaves.plots import histograms
    from vision_core.pictures import images

    folder, done, skipped = source.is_dir(), {}, []
    for path in pictures(source) if folder else [source]:
        try:
            leaf = leaves.transform(images.read(path))
        except ValueError as error:
            if not folder:
                raise
            skipped.append({"file": str(path), "reason": str(error)})
            continue
        target = out / (path.relative_to(source).parent if folder else "") / path.stem
        for name, step in leaf.steps.items():
            images.save(images.Picture(step), target.with_name(f"{target.name}_{name}.png"))
        plots.save(histograms(leaf.histograms), target.with_name(f"{target.name}_histogram.html"))
        facts = {"shape": leaf.shape, "landmarks": leaf.landmarks, "histograms": leaf.histograms}
        write_json(target.with_name(f"{target.name}.json"), facts)
        done[str(path)] = leaf.shape
    text = f"{len(done)} leaves written to {out}"
    answer = {"leaves": done, "skipped": skipped, "out": str(out)}
    return Answer("\n".join([text, *skipped_lines(skipped)]), answer, incomplete=bool(skipped))


def generate(
    out: Annotated[Path, Option(help="New folder to write.")],
    images: Annotated[int, Option(min=1, max=COUNT, help="Number of pictures, over four classes.")] = 400,
    seed: Seed = 0,
    size: Annotated[int, Option(min=32, max=2048, help="Side in pixels.")] = 256,
    biased: Annotated[
        bool, Option("--biased", help="Give each class its own background, which a classifier can exploit.")
    ] = False,
) -> Answer:
    """Draw healthy and diseased leaves, as a folder to train on."""
    from vision_core import leaves

    counts = watch(leaves.generate(out, images, seed, size, biased), "leaves")
    return Answer(f"{sum(counts.values())} leaves written to {out}", {"out": str(out), "counts": counts})


def notes(sentences: Any) -> list[str]:
    return [f"note: {sentence}" for sentence in sentences]


def skipped_lines(entries: Any) -> list[str]:
    return [f"skipped: {entry['file']} {entry['reason']}" for entry in entries]


def _page(out: Path) -> Path:
    if out.suffix.lower() != ".html":
        raise ValueError(f"a figure is written as .html, not as {out.name}")
    return out


def _one_of_each(folder: Path) -> list[Path]:
    """The first picture of each class."""
    from vision_core.leaves import folders

    first: dict[str, Path] = {}
    for name, _, path in folders.read(folder).files():
        first.setdefault(name, path)
    return list(first.values())
