"""Reads and writes LUT files: .cube and LUT pictures (PNG). Other formats are rejected by name."""

from pathlib import Path

from vision_core.color import cube, lut_pictures
from vision_core.color.lut import Lut, plain
from vision_core.files import atomic
from vision_core.safety.limits import LUT
from vision_core.safety.messages import reason

OTHERS = {
    ".3dl": "a Lustre or Flame LUT",
    ".csp": "a cineSpace LUT",
    ".clf": "an ACES common LUT",
    ".ctf": "an Autodesk colour transform",
    ".look": "an Iridas look",
    ".itx": "an Iridas LUT",
    ".spi1d": "an Imageworks LUT",
    ".spi3d": "an Imageworks LUT",
    ".mga": "a Pandora LUT",
    ".m3d": "a Pandora LUT",
    ".vlt": "a Panasonic LUT",
    ".vf": "a Nuke LUT",
    ".dat": "a LUT of a monitor or of Clipster",
    ".lut": "a LUT of Houdini or of a monitor",
    ".cub": "a Truelight LUT",
    ".icc": "an ICC profile",
    ".icm": "an ICC profile",
    ".dcp": "a camera profile",
    ".xmp": "a Lightroom preset",
    ".lrtemplate": "a Lightroom preset",
    ".cdl": "a colour decision list",
    ".acv": "a Photoshop curve",
    ".look3d": "a Lightroom profile",
}


def read(path: str | Path) -> Lut:
    """Read a .cube file or a LUT picture (.png).

    Raises:
        ValueError: the file is missing, too large, damaged or has another format.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if not path.is_file():
        raise ValueError(f"there is no LUT file {path}")
    LUT.check(path.stat().st_size, path.name)
    readers = {".cube": cube.parse, ".png": lut_pictures.parse}
    if suffix not in readers:
        kind = f" ({OTHERS[suffix]})" if suffix in OTHERS else ""
        raise ValueError(
            f"cannot read a LUT from {path.name}{kind}, expected .cube or .png: "
            "export it as .cube, for instance from the program that wrote it"
        )
    try:
        return readers[suffix](path.read_bytes())
    except Exception as error:
        raise ValueError(f"{path.name}: {reason(error, 240)}") from error


def write(path: str | Path, lut: Lut, title: str = "Colour transfer") -> None:
    """Write a LUT as .cube or as a HaldCLUT of level 8 (.png), as a single grid in [0, 1].

    A HaldCLUT has 64 nodes: a LUT baked at 64 nodes is stored exactly. A smooth LUT of 33 nodes is accurate
    to 1/255 after interpolation to 64; a steep one may not be.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in (".cube", ".png"):
        raise ValueError(f"cannot write a LUT as {Path(path).name}, expected .cube or .png")
    grid = plain(lut)
    parts = cube.dump(grid, title) if suffix == ".cube" else lut_pictures.dump(grid)
    with atomic(path) as file:
        file.writelines(parts)
