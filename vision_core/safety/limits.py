"""All limits in one table; environment variables of the server change them.

docs/security.md prints it. The message of a refusal holds the number in question, the accepted number and the
variable that sets it.
"""

import math
import os
from dataclasses import dataclass

from vision_core.safety.messages import quote


class NoLimit(ValueError):
    """A fault of the environment, not of the file that is read."""


@dataclass(frozen=True)
class Limit:
    """The maximum of one quantity.

    Args:
        name: VISION_CORE_MAX_`name` in the environment replaces the default.
        default: in `unit`.
        about: what is limited, for the table.
        scale: base units of one `unit`, such as the bytes of a megabyte.
    """

    name: str
    default: float
    unit: str
    about: str
    scale: int = 1

    @property
    def variable(self) -> str:
        return f"VISION_CORE_MAX_{self.name}"

    @property
    def value(self) -> int:
        """The limit now, in base units.

        Raises:
            NoLimit: the variable holds no positive number.
        """
        text = os.environ.get(self.variable, "").strip()
        try:
            number = float(text) if text else self.default
        except ValueError:
            number = math.nan
        if not 0 < number < 1e15:
            raise NoLimit(f"{self.variable} is {quote(text)}; a number of {self.unit} was expected")
        return round(number * self.scale)

    def check(self, amount: float, what: str) -> None:
        """Raise a `ValueError` that starts with `what` if `amount`, in base units, is above the limit."""
        if not amount <= self.value:
            raise ValueError(
                f"{what} has {self._shown(amount)} {self.unit}; "
                f"at most {self._shown(self.value)} are accepted ({self.variable})"
            )

    def _shown(self, amount: float) -> str:
        if not -1e15 < amount < 1e15:
            return "more than 1e15"
        amount /= self.scale
        return f"{amount:,.0f}" if amount == round(amount) else f"{amount:,.2f}"


PIXELS = Limit("PIXELS", 50_000_000, "pixels", "a picture that is opened or made")
UPLOAD_PIXELS = Limit("UPLOAD_PIXELS", 37_000_000, "pixels", "a picture that a visitor sends")
SIDE = Limit(
    "SIDE", 100_000, "pixels", "the longer side of a picture"
)  # each row costs Pillow memory of its own
FILE = Limit("FILE_MB", 512, "MB", "a picture, or any file without a limit of its own", 1 << 20)
JSON = Limit("JSON_MB", 64, "MB", "a JSON file: settings, recipes, exports", 1 << 20)
UPLOAD = Limit("UPLOAD_MB", 40, "MB", "one upload", 1 << 20)
JSON_VALUES = Limit("JSON_VALUES", 5_000_000, "values", "a JSON file, lists and objects counted, too")
HEADER = Limit("HEADER_MB", 4, "MB", "the header of a .safetensors file", 1 << 20)
RECIPE = Limit("RECIPE_MB", 16, "MB", "the recipe of an edit, with its mask", 1 << 20)
TABLE = Limit("TABLE_MB", 16, "MB", "a CSV file", 1 << 20)
LUT = Limit("LUT_MB", 64, "MB", "a LUT; a .cube of 130 nodes has as much", 1 << 20)
PALETTE = Limit("PALETTE_MB", 1, "MB", "a palette file", 1 << 20)
BUNDLE = Limit("BUNDLE_MB", 64, "MB", "the model in a ZIP of the leaf classifier", 1 << 20)
ARCHIVE = Limit("ARCHIVE_MB", 60, "MB", "the pages in a ZIP that a visitor trains on, unpacked", 1 << 20)
ARCHIVE_PAGES = Limit("ARCHIVE_PAGES", 200, "pages", "the pages in such a ZIP")
ARCHIVE_PIXELS = Limit("ARCHIVE_PIXELS", 150_000_000, "pixels", "all pages of such a ZIP together")
LEAVES = Limit("LEAVES_MB", 2048, "MB", "the pictures in a ZIP of leaves, unpacked", 1 << 20)
LEAVES_PICTURES = Limit("LEAVES_PICTURES", 50_000, "pictures", "the pictures in such a ZIP")
DIGITS = Limit("DIGITS_MB", 200, "MB", "an idx file of digits, unpacked; MNIST's largest has 47", 1 << 20)
TAUGHT = Limit("TAUGHT", 1_000, "pictures", "what the leaf classifier is taught from, without a training")
PAGES = Limit("PAGES", 5_000, "pages", "a PDF or TIFF")
SECONDS = Limit("SECONDS", 30, "seconds", "opening one picture or page in the guarded process")
DECODERS = Limit("DECODERS", 2, "processes", "guarded processes that open files at the same time")
VISIT = Limit("VISIT_MB", 300, "MB", "what the server keeps for one visit", 1 << 20)
ALL_VISITS = Limit("ALL_VISITS_MB", 8192, "MB", "what the server keeps for all visits together", 1 << 20)
VISIT_PICTURES = Limit(
    "VISIT_PICTURES", 2_000, "pictures", "the leaves that a visitor brings as one data set"
)
VISIT_HOURS = Limit("VISIT_HOURS", 168, "hours", "a visit since its last use; 6 on a Space", 3600)
VISIT_UPLOADS = Limit("VISIT_UPLOADS_MB", 1024, "MB", "uploads of one visitor within an hour", 1 << 20)
ALL_UPLOADS = Limit("ALL_UPLOADS_MB", 4096, "MB", "uploads of all visitors within an hour", 1 << 20)
BODY_SECONDS = Limit("BODY_SECONDS", 300, "seconds", "receiving one request")
IDLE_SECONDS = Limit("IDLE_SECONDS", 30, "seconds", "a connection that sends or takes nothing")
CONNECTIONS = Limit("CONNECTIONS", 100, "connections", "connections of one address (not of a proxy)")
ALL_CONNECTIONS = Limit("ALL_CONNECTIONS", 500, "connections", "connections of all addresses together")

LIMITS = {one.name: one for one in list(globals().values()) if isinstance(one, Limit)}


def too_large(height: float, width: float, most: int | None = None) -> str:
    """Why a picture of this size is refused, to follow its name in a message; "" if it is accepted.

    Args:
        most: pixels together; None is PIXELS.
    """
    size = f"has {SIDE._shown(width)} x {SIDE._shown(height)} pixels"
    if not (height <= SIDE.value and width <= SIDE.value):
        return f"{size}; at most {SIDE.value:,} a side are accepted ({SIDE.variable})"
    if height * width <= (most or PIXELS.value):
        return ""
    megapixels = height * width / 1e6
    came = f"{megapixels:,.0f}" if megapixels >= 1000 else f"{megapixels:.4g}"
    if came == f"{(most or PIXELS.value) / 1e6:g}":  # rounded to what is accepted
        came = f"{megapixels:.6f}".rstrip("0")
    return f"{size}, {came} megapixels; at most {megapixels_at_most(most)}"


def megapixels_at_most(most: int | None = None) -> str:
    """The end of a sentence on too many pixels: how many millions are accepted, and by which variable."""
    most = most or PIXELS.value
    names = [f" ({one.variable})" for one in (PIXELS, UPLOAD_PIXELS) if one.value == most]
    return f"{most / 1e6:g} are accepted{''.join(names[:1])}"


def check_size(height: float, width: float, what: str, most: int | None = None) -> None:
    """Refuse a picture that would be too large to make, before anything is allocated; see `too_large`.

    Raises:
        ValueError: a side above SIDE, or more than `most` pixels together; starts with `what`.
    """
    if refused := too_large(height, width, most):
        raise ValueError(f"{what} {refused}")


def changed() -> dict[str, str]:
    """The variables that are set, for a worker process; see `adopt`."""
    return {one.variable: os.environ[one.variable] for one in LIMITS.values() if one.variable in os.environ}


def adopt(variables: dict[str, str]) -> None:
    """Adopt the limits of the parent process, as listed by its `changed`."""
    for one in LIMITS.values():
        os.environ.pop(one.variable, None)
    os.environ.update(variables)


def table() -> str:
    """All limits as the Markdown table of docs/security.md."""
    rows = ["| limit | at most | variable |", "|---|---|---|"]
    for one in LIMITS.values():
        rows.append(f"| {one.about} | {one.default:,.10g} {one.unit} | `{one.variable}` |")
    return "\n".join(rows) + "\n"
