"""HTML of the restoration page: the viewer, the decision of the gate, numbers, downloads."""

from dataclasses import replace
from html import escape
from pathlib import Path
from typing import Any

from apps.restoration import sheets
from apps.restoration.sheets import Choice, Sheet
from apps.shared import downloads
from apps.shared.progress import duration, note
from apps.shared.views import tiles
from apps.shared.visits import Session

VIEWER = Path(__file__).with_name("viewer.js").read_text("utf-8")
# While the page is made anew, the old one stays and says so; then until the new pictures are loaded
WORKING = "() => document.querySelector('.vc-stage')?.setAttribute('aria-busy', 'true')"
MADE = "() => document.querySelector('.vc-stage')?.dispatchEvent(new Event('made', {bubbles: true}))"
METHODS = {
    "network": "the bundled network",
    "own": "the network you trained here",
    "classical": "CLAHE and unsharp mask, without a network",
    "denoise": "non-local means, without a network",
}


def address(sheet: Sheet, file: str, chosen: Choice | None = None) -> str:
    """The address of a file of a result, created on request; see `files`."""
    return downloads.address(sheet.session, sheet.name, file, chosen.query(sheet) if chosen else None)


def viewer(sheet: Sheet, chosen: Choice, over: str = "") -> str:
    """Before and after in one viewer, with overlays of the changes and of the uncertainty.

    Args:
        over: the overlay to show at first, "guesses" or none.
    """
    facts = sheet.facts
    width, height = facts["width"], facts["height"]
    whole = replace(chosen, crop=False)  # before and after lie over each other
    before, after = address(sheet, sheets.PAGE), address(sheet, "restored.png", whole)
    changed = address(sheet, "changed.png", whole)
    mask = address(sheet, "mask-overlay.png", chosen) if sheet.path(sheets.MASK).exists() else ""
    size = f'width="{width}" height="{height}" draggable="false"'
    guesses = (
        '<button type="button" data-over="guesses" aria-pressed="false">Where it guesses</button>'
        if sheet.path(sheets.GUESSES).exists()
        else '<button type="button" data-act="guess">Where does it guess?</button>'
    )
    if facts["method"] not in ("network", "own"):
        guesses = ""
    overlay = (
        f'<img class="guesses" {size} hidden alt="" data-src="{address(sheet, "guesses.png")}">'
        if sheet.path(sheets.GUESSES).exists()
        else ""
    )
    frame, box = "", sheets.page_box(sheet) if chosen.crop else None
    if box is not None:
        top, left, bottom, right = box
        place = f'x="{left}" y="{top}" width="{right - left}" height="{bottom - top}"'
        frame = (
            f'<svg width="{width}" height="{height}" aria-hidden="true"><rect {place}/><rect {place}/></svg>'
        )
    tall = min(1.35, height / width)
    return f"""<div class="vc-viewer" data-name="{sheet.name}" data-width="{width}" data-height="{height}"
 data-mask="{mask}" data-shown="{over}" style="--ratio:{tall:.3f}">
<div class="vc-stage" tabindex="0" role="group" aria-busy="true"
 aria-label="The page before and after. Arrow keys move it, plus and minus zoom, 0 shows all of it.">
<div class="vc-layer"><img src="{after}" {size} alt="the restored page">
<img class="changed" {size} hidden alt="" data-src="{changed}">{overlay}</div>
<div class="vc-layer vc-before"><img src="{before}" {size} alt="the page as it was"></div>
<div class="vc-layer"><canvas style="width:{width}px;height:{height}px"></canvas>{frame}</div>
<i class="vc-divider" aria-hidden="true"></i><b class="vc-tag">before</b>
<b class="vc-tag vc-right">after</b></div>
<div class="vc-tools"><label class="vc-slide"><span>before</span>
<input class="vc-split" type="range" min="0" max="100" value="50"
 aria-label="divider between before and after">
<span>after</span></label></div>
<div class="vc-tools"><span class="vc-zooms">
<button type="button" data-do="out" aria-label="zoom out">−</button><output class="vc-zoom">100 %</output>
<button type="button" data-do="in" aria-label="zoom in">+</button></span>
<button type="button" data-do="fit">Whole page</button><button type="button" data-do="full">1 : 1</button>
<button type="button" data-over="changed" aria-pressed="false">What changed</button>{guesses}
<button type="button" data-do="brush" aria-pressed="false">Protect</button></div>
<div class="vc-tools vc-brushes" hidden><span>Paint over what must stay as it was.</span>
<label>Brush
<input class="vc-width" type="range" min="6" max="90" value="28" aria-label="size of the brush"></label>
<button type="button" data-do="erase" aria-pressed="false">Rub out</button>
<button type="button" data-do="clear">Clear all</button></div></div>"""


def verdict(title: str, decision: dict[str, Any], gate: bool) -> str:
    """The decision of the gate about a page as a message."""
    why = decision["reason"]
    if decision["accepted"]:
        return note(f"{title}, restored: {why}.", "good")
    if gate:
        return (
            f'<div class="vc-note vc-warning" role="status"><p>{escape(title)}, kept as it was: '
            f'{escape(why)}.</p><button type="button" '
            'data-act="ungate">Show the restored page</button></div>'
        )
    return note(f"{title}, without the gate. It would have kept the original: {why}.", "warning")


def facts(decision: dict[str, Any], details: dict[str, Any]) -> str:
    """The measurements before and after, with explanations."""
    before, after = decision["before"], decision["after"]
    numbers = (
        (
            f"{decision['change']:.1f} of 255",
            "changed, on average",
            "Over the whole page: one small stain hardly counts.",
        ),
        (
            _pair(before["contrast"], after["contrast"]),
            "contrast of the strokes",
            "Higher is easier to read.",
        ),
        (
            _pair(before["separation"], after["separation"]),
            "ink apart from paper",
            "How clearly dark and light separate (Otsu).",
        ),
        (
            f"{before['brightness']:.0%} → {after['brightness']:.0%}",
            "brightness",
            "A page gets brighter when stains and shade go.",
        ),
    )
    took = (
        f"{details['width']:,} x {details['height']:,} pixels in {duration(details['seconds'])}, "
        f"by {METHODS[details['method']]}."
    )
    return f'{tiles(numbers, "before and after in numbers")}<p class="vc-empty">{took}</p>'


def _pair(before: float, after: float) -> str:
    return f"{before:.0%} → {after:.0%}"


def offered(sheet: Sheet, chosen: Choice, restored: bool) -> str:
    """Downloads of the page at these options and of its changes; a kept page is not called restored."""
    page = address(sheet, "restored.png", chosen)
    kept = "The page as it was (PNG)" if chosen.output == "color" else "The page, not restored (PNG)"
    name = "Restored page (PNG, exact)" if restored else kept
    others = downloads.link(address(sheet, "changed.png", chosen), "What was changed", "changed")
    if sheet.path(sheets.GUESSES).exists():
        others += downloads.link(address(sheet, "guesses.png"), "Where it guesses", "guesses")
    return downloads.links(downloads.link(page, name, "restored", main=True), others if restored else "")


def ready(session: Session, file: str, text: str, sheet: str = "", source: str = "") -> str:
    """Download links of a job's file in the session's folder, and of its contact sheet.

    Args:
        source: the visitor's name of the file that it was made from, if it was one.
    """
    named = {"source": source} if source else None
    main, *others = (
        downloads.link(downloads.address(session, "work", name, named), words, main=name == file)
        for name, words in ((file, text), (sheet, "Contact sheet (JPEG)"))
        if name
    )
    return downloads.links(main, *others)
