"""Damaged files at every door: whatever is changed in them, they are read or refused with a `ValueError`.

Seeded and bounded for every day; `make fuzz` tries twenty times as much (FUZZ is the factor) and prints
what each door took. A failure names the door and the turn, which give the same bytes again; FUZZ_FROM is the
first turn.
"""

import ast
import gzip
import hashlib
import json
import os
import time
import zlib
from collections.abc import Callable
from dataclasses import asdict
from io import BytesIO
from pathlib import Path
from typing import Any, ClassVar
from zipfile import ZIP_DEFLATED, ZipFile

import numpy as np
import psutil
import pytest
import torch
from extremes import deep, extreme
from PIL import Image, PngImagePlugin
from torch import nn

from vision_core import checkpoints, digits, editing, leaves, restoration, runs, states
from vision_core.color import colormap, feedback, lut, lut_files, lut_pictures, palette_files
from vision_core.color.network import ColorMapper
from vision_core.color.objective import Settings as ColorSettings
from vision_core.color.palette import Palette, count_colors
from vision_core.digits import data as idx
from vision_core.digits.packed import SHAPES, read_export
from vision_core.editing import packed, recipe, train
from vision_core.editing.anchor_net import AnchorNet
from vision_core.editing.fill import lama
from vision_core.files import bundled, read_json, write_json
from vision_core.leaves import data as leaf_data
from vision_core.leaves.bundle import MODEL
from vision_core.pictures import documents, icc, images
from vision_core.restoration.network import PageRestorer
from vision_core.safety import archives
from vision_core.safety.bounds import Bounds, Several, Text, Whole
from vision_core.weights import WeightsMissing

FIRST = int(os.environ.get("FUZZ_FROM", "0"))
TURNS = round(60 * float(os.environ.get("FUZZ", "1")))
RNG = np.random.default_rng(0)
COLORS = RNG.integers(0, 256, (37, 53, 3), np.uint8)
PALETTE = Palette(COLORS[0, :5], np.full(5, 0.2))

Reader = Callable[[Path], object]
DOORS: dict[
    str, Callable[[Path], Reader]
] = {}  # each writes whole files into a folder and tells how to read it


def door(build: Callable[[Path], Reader]) -> Callable[[Path], Reader]:
    DOORS[build.__name__] = build
    return build


class Net(nn.Module):
    bounds: ClassVar[Bounds] = {"width": Whole(1, 1000), "names": Several(Text(), 0, 10)}

    def __init__(self, width: int = 4, names: tuple[str, ...] = ()) -> None:
        super().__init__()
        self.architecture = {"width": width, "names": list(names)}
        self.layer = nn.Linear(3, width)


# Pictures


def picture(format: str, mode: str = "RGB", **options: Any) -> None:
    """Add a door for pictures of that kind."""

    def build(folder: Path) -> Reader:
        exif = Image.Exif()
        exif.update({0x0112: 6, 0x010F: "camera"})
        about = {"exif": exif, "dpi": (72, 72), "icc_profile": icc.srgb_profile()}
        image = Image.fromarray(COLORS).convert(mode)
        if options.get("save_all"):
            options["append_images"] = [image.rotate(90), image.rotate(180)]
        if format == "HEIF":  # for which Pillow has no writer, and whose reader is ours
            image = pytest.importorskip("pillow_heif").from_pillow(image)
        image.save(folder / "x", format=format, **({} if format in ("GIF", "BMP") else about), **options)
        return lambda folder: images.encode(images.read(folder / "x", max_pixels=100_000))

    DOORS[" ".join([format, mode, *map(str, options.values())])] = build


for format in ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF", "AVIF", "HEIF"):
    picture(format)
for format in ("GIF", "WEBP", "TIFF", "PNG"):
    picture(format, save_all=True)
picture("PNG", "P", bits=4)
picture("PNG", "I;16")
picture("JPEG", "CMYK")
picture("JPEG", progressive=True)
picture("WEBP", "RGBA", lossless=True)
picture("TIFF", "1", compression="group4")
picture("TIFF", "RGBA", compression="tiff_lzw")
picture("TIFF", "RGB", compression="jpeg")
picture("TIFF", "LAB", compression="tiff_adobe_deflate")


# Palettes and LUTs


def palette(suffix: str) -> None:
    def build(folder: Path) -> Reader:
        palette_files.write(folder / f"x{suffix}", PALETTE)
        return lambda folder: palette_files.read(folder / f"x{suffix}")

    DOORS[f"palette {suffix}"] = build


for suffix in palette_files.WRITABLE:
    palette(suffix)


def foreign_palette(suffix: str, data: bytes) -> None:
    def build(folder: Path) -> Reader:
        (folder / f"x{suffix}").write_bytes(data)
        return lambda folder: palette_files.read(folder / f"x{suffix}")

    DOORS[f"palette {suffix} {data[:4]!r}"] = build


foreign_palette(".pal", b"JASC-PAL\n0100\n2\n1 2 3\n4 5 6\n")
foreign_palette(".pal", b"RIFF\x18\0\0\0PAL data\x0c\0\0\0\0\3\2\0" + bytes(range(8)))
foreign_palette(".aco", b"\0\1\0\2" + b"\0\0\1\2\3\4\5\6\0\0" * 2)
foreign_palette(".aco", b"\0\2\0\1" + b"\0\0\1\2\3\4\5\6\0\0" + b"\0\0\0\2\0a\0\0")


@door
def cube(folder: Path) -> Reader:
    lut_files.write(folder / "x.cube", lut.identity(3))
    return lambda folder: lut_files.read(folder / "x.cube")


@door
def hald(folder: Path) -> Reader:
    (folder / "x.png").write_bytes(b"".join(lut_pictures.dump(lut.identity(4), level=2)))
    return lambda folder: lut_files.read(folder / "x.png")


@door
def ratings(folder: Path) -> Reader:
    feedback.add(folder / "x.pth", PALETTE, [feedback.Rating(1.0, True)] * 5)
    return lambda folder: feedback.read(folder / "x.pth", PALETTE)


# Checkpoints, runs, digits


def checkpoint(suffix: str) -> None:
    def build(folder: Path) -> Reader:
        checkpoints.save(folder / f"x{suffix}", Net(5, ("a", "b")), {"seed": 3, "metrics": {"accuracy": 0.5}})
        return lambda folder: checkpoints.load(folder / f"x{suffix}", Net)

    DOORS[f"checkpoint {suffix}"] = build


checkpoint(".safetensors")
checkpoint(".pth")


@door
def resume(folder: Path) -> Reader:
    model = Net().state_dict()
    moments = {n: {"step": torch.ones(()), "exp_avg": value} for n, value in enumerate(model.values())}
    optimizer = {"state": moments, "param_groups": [{"lr": 1e-3, "betas": (0.9, 0.999), "params": [0, 1]}]}
    state = {"model": model, "optimizer": optimizer, "epoch": 3, "best": {"accuracy": [0.5, 2]}}
    states.save_state(folder / "resume.pt", state)
    return lambda folder: states.load_state(folder / "resume.pt", "model", "optimizer", "epoch")


@door
def run(folder: Path) -> Reader:
    created = runs.create(folder, "digits", digits.Settings(), source="here")
    created.log({"event": "start"})
    for epoch in (1, 2):
        created.log({"event": "step", "step": epoch, "total": 2, "losses": {"total": 0.5}, "eta": 1.0})
        created.log({"event": "epoch", "epoch": epoch, "epochs": 2, "metrics": {"accuracy": 0.5}})
    created.log({"event": "resume", "epoch": 1, "step": 1})
    created.log({"event": "done"})
    (folder / "process.json").write_text('{"pid": 1, "started": 0.5}')

    def read(folder: Path) -> object:
        opened, settings = runs.open(folder, "digits", digits.Settings)
        return settings, opened.events(), opened.status(), digits.history(opened)

    return read


@door
def export(folder: Path) -> Reader:
    shipped = bundled("apps") / "digits_site" / "data"
    index = json.loads((shipped / "digits.json").read_text())
    values = sum(int(np.prod(shape)) for shape in SHAPES.values())
    part = (shipped / "digits.bin").read_bytes()[: 2 * values]
    small = {"epochs": index["epochs"][:1], "misread": [], "sha256": hashlib.sha256(part).hexdigest()}
    (folder / "digits.json").write_text(json.dumps({**index, **small, "bytes": len(part)}))
    (folder / "digits.bin").write_bytes(part)

    def read(folder: Path) -> object:
        result = read_export(folder / "digits.json")
        return result.samples, result.weights(0)

    return read


@door
def mnist(folder: Path) -> Reader:
    for name, digit in (("train", 24), ("test", 100)):
        pictures, labels = idx.FILES[name]
        sizes = digit.to_bytes(4)
        pixels = bytes([0, 0, 8, 3]) + sizes + (28).to_bytes(4) * 2 + bytes(784 * digit)
        with gzip.open(folder / f"{pictures}.gz", "wb", 1) as file:
            file.write(pixels)
        (folder / labels).write_bytes(bytes([0, 0, 8, 1]) + sizes + bytes(n % 10 for n in range(digit)))
    return idx.load


# Editing


def edited(suffix: str) -> None:
    """Add a door for the recipe of an edit, which is carried out again."""

    def build(folder: Path) -> Reader:
        mask = np.zeros((20, 30), bool)
        mask[5:9, 8:12] = True
        picture = images.Picture(COLORS[:20, :30])
        options = {"strength": 1.0, "padding": 0.5, "feather": 1.0, "sides": [0, 0, 0, 0], "colors": True}
        stored = recipe.Recipe("remove", mask=packed.pack_mask(mask), options=options)
        if suffix == ".png":
            recipe.save(picture, stored, folder / "x.png")
        else:
            (folder / "x.json").write_text(recipe.to_json(stored))
        return lambda folder: list(editing.repeat(picture, recipe.read(folder / f"x{suffix}")))

    DOORS[f"recipe {suffix}"] = build


edited(".png")
edited(".json")


@door
def texts(folder: Path) -> Reader:
    (folder / "a.png").write_bytes(images.encode(images.Picture(COLORS)))
    write_json(folder / "data.json", {"a.png": ["a cat", "a dog"]})
    return lambda folder: [images.read(path) for path, _, _ in train.read_data(folder / "data.json")]


@door
def losses(folder: Path) -> Reader:
    np.save(folder / "table.npy", np.full((2, 3, 4), 0.5, np.float32))
    return lambda folder: train.Table(folder / "table.npy", (2, 3, 4), lambda *_: 0.0)


# Leaves


def leaf_model(suffix: str) -> None:
    """Add a door for the model file that a page lets one choose."""
    digest = "0123456789abcdef"

    def build(folder: Path) -> Reader:
        model, metadata = leaves.load()
        checkpoints.save(folder / "model.safetensors", model, {**metadata, "seen": digest}, half=True)
        if suffix == ".zip":
            with ZipFile(folder / "x.zip", "w", ZIP_DEFLATED) as archive:
                archive.write(folder / "model.safetensors", MODEL)
                archive.writestr("README.md", "A model")
            (folder / "model.safetensors").unlink()
        else:
            (folder / "model.safetensors").rename(folder / "x.safetensors")

        def read(folder: Path) -> object:
            loaded, about = leaves.load(folder / f"x{suffix}")
            return loaded.classes, about.get("seen", "").startswith(digest)

        return read

    DOORS[f"leaves {suffix}"] = build


leaf_model(".zip")
leaf_model(".safetensors")


@door
def groups(folder: Path) -> Reader:
    for label, n in [(label, n) for label in "ab" for n in range(4)]:
        images.save(images.Picture(RNG.integers(0, 256, (24, 24, 3), np.uint8)), folder / label / f"{n}.png")
    survey = leaves.survey(folder)
    for path in folder.rglob("*.png"):
        path.unlink()
    (folder / "x.csv").write_text("file,leaf_group\na/0.png,1\na/1.png,1\nb/0.png,2\n")
    return lambda folder: leaves.split(survey, groups=folder / "x.csv")


@door
def manifest(folder: Path) -> Reader:
    photos = tuple(
        leaf_data.Photo(f"{label}/{n}.png", label, 3 * label + n, leaf_data.SPLITS[n], "ab" * 8, "cd" * 8)
        for label in range(2)
        for n in range(3)
    )
    pairs = (("0/0.png", "1/0.png"),)
    result = leaf_data.Manifest(
        "leaves", ("0", "1"), photos, ({"file": "0/x", "reason": "is empty"},), pairs, pairs, 0
    )
    result.save(folder / "manifest.json")

    def read(folder: Path) -> object:
        result = leaf_data.load(folder / "manifest.json")
        return result.counts(), [result.classes[photo.label] for photo in result.photos]

    return read


# Restoration


@door
def damage(folder: Path) -> Reader:
    write_json(folder / "x.json", restoration.draw(3))
    page = images.to_tensor(COLORS)

    def read(folder: Path) -> object:
        restoration.check(recipe := read_json(folder / "x.json"))
        return restoration.degrade(page, [recipe])

    return read


def document(suffix: str) -> None:
    def build(folder: Path) -> Reader:
        pages = [folder / "1.png", folder / "2.png"]
        for number, page in enumerate(pages):
            images.save(images.Picture(np.roll(COLORS, number), dpi=(300, 300)), page)
        documents.write(folder / f"x{suffix}", {1: pages[0], 2: pages[1]})
        for page in pages:
            page.unlink()

        def read(folder: Path) -> object:
            with documents.opened(folder / f"x{suffix}") as file:
                return [file.read(number, lambda pixels: None) for number in range(1, file.count + 1)]

        return read

    DOORS[f"document {suffix}"] = build


document(".pdf")
document(".tif")


# Networks


def network(model: nn.Module, suffix: str, metadata: dict[str, Any], read: Reader) -> None:
    def build(folder: Path) -> Reader:
        checkpoints.save(folder / f"x{suffix}", model, metadata)
        return lambda folder: read(folder / f"x{suffix}")

    DOORS[f"{type(model).__name__} {suffix}"] = build


def look(path: Path) -> object:
    result = colormap.load(path)
    return result.sample_colors(1), result.unseen(COUNTED), result.lut(3)


COUNTED = count_colors(COLORS)
ABOUT = {
    "palette": PALETTE.colors.tolist(),
    "shares": [0.2] * 5,
    "source_colors": colormap.seen_colors(COUNTED),
    "settings": asdict(ColorSettings()),
}
for suffix in (".safetensors", ".pth"):
    network(AnchorNet(5, 3), suffix, {}, editing.load_anchor_net)
    network(PageRestorer((8, 8, 8), (1, 1, 1), (1, 1), (4, 4, 4)), suffix, {}, restoration.load)
    network(ColorMapper(1, 8, "palette", PALETTE.colors.tolist()), suffix, ABOUT, look)


@door
def archive(folder: Path) -> Reader:
    with ZipFile(folder / "x.zip", "w", ZIP_DEFLATED) as file:
        for name in ("a.png", "b/c.png"):
            file.writestr(name, images.encode(images.Picture(COLORS)))
        file.writestr("README.md", "no picture")
    return lambda folder: (archives.members(folder / "x.zip", (".png",)), _unpacked(folder / "x.zip"))


def _unpacked(path: Path) -> None:
    with leaves.unpacked(path) as folder:
        leaves.survey(folder)


@door
def onnx_network(folder: Path) -> Reader:
    """Add a door for an untrusted ONNX file."""
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    float32, make = onnx.TensorProto.FLOAT, onnx.helper
    sizes = {"image": 3, "mask": 1}
    inputs = [make.make_tensor_value_info(n, float32, [1, c, 512, 512]) for n, c in sizes.items()]
    scale = onnx.numpy_helper.from_array(np.full((1, 3, 1, 1), 255, np.float32), "scale")
    nodes = [make.make_node("Mul", ["image", "scale"], ["x"]), make.make_node("Mul", ["x", "mask"], ["y"])]
    output = make.make_tensor_value_info("y", float32, [1, 3, 512, 512])
    graph = make.make_graph(nodes, "filler", inputs, [output], [scale])
    about = {"opset_imports": [make.make_opsetid("", 17)], "ir_version": 8}
    onnx.save(make.make_model(graph, **about), folder / "x.onnx")
    return lambda folder: lama.try_network(folder / "x.onnx")


# Where files are opened, and the doors above that stand for it, or who has written what is opened there

OPENING = {"safe_open", "open", "load_file", "ZipFile", "read_bytes", "read_text", "PdfDocument", "GzipFile"}
OPENING |= {"InferenceSession", "ordinary", "read_json", "parse_json", "load_state", "torch.load", "np.load"}
PLACES = {
    "checkpoints": "checkpoint .safetensors",
    "cluster": "(files for workers, which open them as one process does)",
    "color/feedback": "ratings",
    "color/lut_files": "cube",
    "color/lut_pictures": "hald",
    "color/palette_files": "palette .gpl",
    "color/trainer": "(a run's own table)",
    "devices": "(a measurement of its own)",
    "digits/data": "mnist",
    "digits/export": "(a run)",
    "digits/packed": "export",
    "digits/train": "run",
    "editing/hub": "(the hub's cache)",
    "editing/many": "(results of ours)",
    "editing/fill/lama": "onnx_network",
    "editing/find/networks": "onnx_network",
    "editing/find/segment": "(what a visit wrote)",
    "editing/masks": "(masks that a visit wrote)",
    "editing/recipe": "recipe .png",
    "smallworld/autoencoder": "(networks of the small world)",
    "smallworld/clip": "(the same)",
    "smallworld/data": "(the same)",
    "smallworld/examples": "(the same)",
    "smallworld/painter": "(the same)",
    "editing/train": "texts",
    "files": "(what the doors call)",
    "leaves/bundle": "leaves .zip",
    "leaves/data": "groups",
    "leaves/features": "(a run's own cache)",
    "leaves/network": "(weights of the table)",
    "pdf/pages": "document .pdf",
    "pdf/scans": "document .pdf",
    "pdf/streams": "document .pdf",
    "pdf/writing": "document .pdf",
    "pictures/documents": "(pages of ours, joined)",
    "pictures/decoding": "PNG RGB",
    "pictures/images": "PNG RGB",
    "pictures/pngs": "PNG RGB",
    "pictures/tiff_pixels": "TIFF RGB",
    "restoration/damage": "(a JPEG of its own)",
    "restoration/classifier": "(weights of the table)",
    "restoration/losses": "(torchvision's weights)",
    "restoration/reading": "(pages that are measured on)",
    "restoration/reports": "(its own report)",
    "run_log": "run",
    "runs": "run",
    "safety/archives": "archive",
    "states": "resume",
    "training": "resume",
    "weights": "(hashes of the table's files)",
}


def opens(path: Path) -> bool:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            if name != "runs.open" and ({name, name.split(".")[-1]} & OPENING):
                return True
    return False


def test_every_module_that_opens_files_has_a_door_here():
    """A new one: give its door a seed above and name it in PLACES, or say there who has written the file."""
    core = bundled("apps").parent / "vision_core"
    files = [path for path in sorted(core.rglob("*.py")) if "cli" not in path.parts]
    modules = {path.relative_to(core).with_suffix("").as_posix() for path in files if opens(path)}
    assert modules - set(PLACES) == set()
    assert {door for door in PLACES.values() if door[0] != "("} <= set(DOORS)


# Damage

ODD: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    0.5,
    10**400,
    float("nan"),
    1e308,
    "",
    "x",
    "9" * 5000,
    [],
    {},
    [[1]],
)

ODD_NAMES = ("", "\0", "\ud800", "a" * 5000, "../../x", "/", "class")


def damaged(data: bytes, rng: np.random.Generator) -> bytes:
    """Some bytes changed, moved, cut or added; JSON also gets values of other kinds in its places.

    Half the time what is packed in a file is damaged, and packed again as it should be.
    """
    if rng.random() < 0.35 and (changed := extreme(data, rng)):
        return changed
    if rng.random() < 0.1 and (changed := deep(data, rng)):
        return changed
    if rng.random() < 0.5 and (packed := _inside(data, rng)):
        return packed
    try:
        lines = data.decode("ascii").splitlines(keepends=True)
        if rng.random() < 0.7 and (odd := _odd_json(data, lines, rng)):
            return odd
    except ValueError:
        pass
    changed, length = bytearray(data), len(data)
    early = rng.random() < 0.6  # headers are where the parsers are
    for place in rng.integers(0, min(length, 400 if early else length), rng.integers(1, 6)).tolist():
        changed[place] = int(rng.choice([0, 1, 127, 128, 255, int(rng.integers(256))]))
    start, end = sorted(rng.integers(0, length + 1, 2).tolist())
    match rng.integers(8):
        case 0:
            del changed[start:]
        case 1:
            del changed[start:end]
        case 2:
            changed[start:start] = changed[start:end][:1000]
        case 3:
            changed[start : start + 4] = rng.bytes(4)
    return bytes(changed)


def _inside(data: bytes, rng: np.random.Generator) -> bytes | None:
    """A ZIP with one damaged member, a checkpoint with a damaged header, or a PNG with a damaged recipe."""
    buffer = BytesIO()
    if data.startswith(b"PK"):
        with ZipFile(BytesIO(data)) as old, ZipFile(buffer, "w") as new:
            members = old.infolist()
            chosen = members[rng.integers(len(members))]
            for member in members:
                content = old.read(member)
                new.writestr(member, damaged(content, rng) if member is chosen else content)
        return buffer.getvalue()
    if data.startswith(b"\x89PNG") and recipe.KEY.encode() in data:
        with Image.open(BytesIO(data)) as image:
            about = PngImagePlugin.PngInfo()
            text = damaged(image.info[recipe.KEY].encode(), rng)  # pyright: ignore[reportAttributeAccessIssue]
            about.add_itxt(recipe.KEY, text.decode("utf-8", "replace"), zip=True)
            image.save(buffer, "PNG", pnginfo=about)
        return buffer.getvalue()
    size = int.from_bytes(data[:8], "little")
    if data[8:9] == b"{" and size < len(data):  # .safetensors
        header = json.loads(data[8 : 8 + size])
        about = header["__metadata__"]
        about[checkpoints.HEADER] = damaged(about[checkpoints.HEADER].encode(), rng).decode(
            "utf-8", "replace"
        )
        text = json.dumps(header).encode()
        return len(text).to_bytes(8, "little") + text + data[8 + size :]
    return None


def _odd_json(data: bytes, lines: list[str], rng: np.random.Generator) -> bytes | None:
    """JSON, or one line of it, with one value replaced, or removed."""
    whole = not data.startswith(b'{"event"')
    number = int(rng.integers(len(lines)))
    content = json.loads(data if whole else lines[number])
    if not isinstance(content, dict | list) or not content:
        return None
    place = content
    while True:
        key = rng.choice(list(place)) if isinstance(place, dict) else int(rng.integers(len(place)))
        inner = place[key]
        if not isinstance(inner, dict | list) or not inner or rng.random() < 0.3:
            break
        place = inner
    match place, rng.random():
        case _, chance if chance < 0.2:
            del place[key]
        case dict(), chance if chance < 0.3:
            place[ODD_NAMES[rng.integers(len(ODD_NAMES))]] = place.pop(key)
        case _:
            place[key] = ODD[rng.integers(len(ODD))]
    text = json.dumps(content)
    return (text if whole else "".join([*lines[:number], text + "\n", *lines[number + 1 :]])).encode()


SECONDS, BYTES = 5, 1500 << 20  # of the processor and of memory, for any file


def attempt(read: Reader, folder: Path) -> tuple[str, float]:
    """What the door says of the file, "" where it reads it, and the processor's seconds that it took.

    Raises:
        AssertionError: it took too much, or said too much.
    """
    start = time.process_time()
    try:
        read(folder)
        message = ""
    except (ValueError, WeightsMissing) as error:
        message = str(error)
        assert message and "\n" not in message and len(message) < 2000
    took = time.process_time() - start
    assert took < SECONDS
    return message, took


def peak_memory(reset: bool = False) -> int:
    """The most that this process has held since the last `reset`, in MB; 0 where the system does not tell."""
    if not (status := Path("/proc/self/status")).exists():
        return 0
    if reset:
        Path("/proc/self/clear_refs").write_text("5")
    return int(next(line for line in status.read_text().splitlines() if "VmHWM" in line).split()[1]) >> 10


@pytest.fixture(scope="module")
def measurements():
    """(mutations, refused, seconds, MB) of each door, which are printed in the end when FUZZ asks for it."""
    rows: dict[str, tuple[int, int, float, int]] = {}
    yield rows
    if rows and "FUZZ" in os.environ:
        for name, (turns, refused, seconds, memory) in rows.items():
            print(f"{name:24} {turns:6} mutations {refused:6} refused {seconds:5.2f} s {memory:5} MB")
        turns, refused, seconds, memory = zip(*rows.values(), strict=True)
        print(
            f"{sum(turns)} mutations, {sum(refused)} refused, at most {max(seconds):.2f} s, {max(memory)} MB"
        )


@pytest.fixture
def little_memory():
    """No more address space than `BYTES` above what this process has."""
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (psutil.Process().memory_info().vms + BYTES, hard))
    yield
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


@pytest.mark.parametrize("name", DOORS)
def test_only_sentences_come_out(name, tmp_path, little_memory, measurements):
    read = DOORS[name](tmp_path)
    read(tmp_path)
    before, longest = peak_memory(reset=True), 0.0
    whole = {path: path.read_bytes() for path in sorted(tmp_path.rglob("*")) if path.is_file()}
    refused = 0
    for turn in range(FIRST, FIRST + TURNS):
        rng = np.random.default_rng([zlib.crc32(name.encode()), turn])
        path = list(whole)[rng.integers(len(whole))]
        path.write_bytes(damaged(whole[path], rng))
        try:
            message, took = attempt(read, tmp_path)
            refused, longest = refused + (message != ""), max(longest, took)
        except Exception as error:
            raise AssertionError(f"{name}, turn {turn}, {path.name}: {error!r}") from error
        path.write_bytes(whole[path])
    measurements[name] = TURNS, refused, longest, peak_memory() - before
    assert refused
