"""The colour app's pieces of HTML: swatches, numbers in words, methods compared, downloads."""

from html import escape
from typing import Any

from apps.color_transfer.visit import Visit
from apps.shared import downloads
from apps.shared.views import pressed, table, tiles
from vision_core.color import Palette
from vision_core.color.palette_files import to_hex


def bar(palette: Palette) -> str:
    """The palette as a bar whose parts are as wide as the shares."""
    parts = [
        f'<span style="flex:{max(share, 0.002):.4f};background:{color}"></span>'
        for color, share in zip(to_hex(palette.colors), palette.shares, strict=True)
    ]
    return f'<div class="vc-bar" aria-hidden="true">{"".join(parts)}</div>'


def palette_editor(visit: Visit) -> str:
    """The palette as a bar, a button for each colour, and the actions on the chosen one."""
    palette = visit.palette
    if palette is None:
        return '<p class="vc-empty">Choose the picture with the colours to take, and they appear here.</p>'
    colors = to_hex(palette.colors)
    buttons = []
    for index, (color, share) in enumerate(zip(colors, palette.shares, strict=True)):
        locked = color in visit.locked
        label = f"{color} {share:.1%}{', locked' if locked else ''}"
        buttons.append(
            f'<button type="button" data-act="choose" data-value="{index}" '
            f'{pressed(index == visit.chosen)} aria-label="{label}">'
            f'<i style="background:{color}"></i><b>{color}</b>'
            f"<small>{share:.1%}{' locked' if locked else ''}</small></button>"
        )
    chosen = colors[visit.chosen]
    lock = "Unlock" if chosen in visit.locked else "Lock"
    origin = f'<p class="vc-empty">From the file {escape(visit.imported)}.</p>' if visit.imported else ""
    return (
        f'{bar(palette)}{origin}<div class="vc-swatches" role="group" aria-label="palette">'
        f"{''.join(buttons)}</div>"
        f'<div class="vc-editor"><label>The chosen colour <input type="color" value="{chosen}"></label>'
        '<button type="button" data-act="swap">Replace with this colour</button>'
        f'<button type="button" data-act="lock">{lock}</button>'
        '<button type="button" data-act="drop">Drop</button>'
        f'<button type="button" data-act="undo"{"" if visit.earlier else " disabled"}>{_undo(visit)}</button>'
        "</div>"
    )


def _undo(visit: Visit) -> str:
    """The step that Undo reverts: a colour dropped, or replaced by another."""
    if not visit.earlier:
        return "Undo"
    removed = [color for color in visit.earlier[-1][0] if color not in visit.colors]
    verb = "Drop" if len(visit.earlier[-1][0]) > len(visit.colors) else "Replace"
    return f"Undo: {verb} {removed[0]}" if removed else "Undo"


def facts(measured: dict[str, Any], palette: Palette, keeps: float | None) -> str:
    """The numbers of `metrics.measure`, each with an explanation.

    Args:
        keeps: lightness strength that would keep more of the drawing, where that is worth saying.
    """
    used, colors, ssim = measured["colors_used"], measured["colors"], measured["ssim"]
    missing = " ".join(to_hex(palette.colors[measured["missing"]]))
    rare = (
        "The others are rare: less than 2% of the palette."
        if used < colors
        else "Every colour has its place."
    )
    numbers = [
        (f"{used} of {colors}", "palette colours in use", f"Hardly used: {missing}." if missing else rare),
        (
            f"{1 - measured['total_variation']:.0%}",
            "of the pixels in the palette's proportions",
            "100% is exact.",
        ),
        (
            f"{measured['delta_e']:.1f}",
            "mean distance to the palette",
            "In Delta-E 2000; below 2 is hard to see.",
        ),
        (
            "–" if ssim is None else f"{ssim:.0%}",
            "of light and dark kept",
            "SSIM: how much of the drawing is left.",
        ),
    ]
    if (grain := measured.get("grain")) is not None:
        numbers.append((f"{grain:.1%}", "of similar neighbours now differ", "Speckle; invisible below 0.5%."))
    advice = ""
    if keeps is not None:
        advice = (
            '<div class="vc-note vc-warning"><p>These colours are much darker or lighter than the picture: '
            f'the drawing suffers. A lightness strength of {keeps:g} keeps it.</p><button type="button" '
            'data-act="lightness" '
            f'data-value="{keeps:g}">Use {keeps:g}</button></div>'
        )
    return advice + tiles(numbers, "how good the result is")


def methods(rows: list[dict[str, Any]], titles: dict[str, str]) -> str:
    """A table of methods, one a row, in which the best number of each column is marked."""
    best = {key: _best([row[key] for row in rows], key) for key in titles if key != "method"}
    cells = [
        [row["method"], *("*" * (row[key] == top) + _cell(row[key]) for key, top in best.items())]
        for row in rows
    ]
    return table(list(titles.values()), cells, "methods compared")


def _best(values: list[Any], key: str) -> Any:
    numbers = [value for value in values if value is not None]
    pick = max if key in ("colors_used", "ssim") else min
    return pick(numbers) if numbers else object()


def _cell(value: Any) -> str:
    return "–" if value is None else f"{value:.3g}" if isinstance(value, float) else str(value)


def link(
    visit: Visit, file: str, text: str, options: dict[str, Any] | None = None, main: bool = False
) -> str:
    """A link that downloads a file of the current result; see `files`."""
    return downloads.link(downloads.address(visit.session, visit.result, file, options), text, main=main)


def offered(visit: Visit, color: float, lightness: float, network: bool) -> str:
    """The download links of the result, at the current strengths."""
    at = {"color": color, "lightness": lightness}
    tables = [link(visit, "colours.cube", "LUT .cube", at), link(visit, "haldclut.png", "HaldCLUT", at)]
    palettes = [link(visit, f"palette.{end}", end.upper()) for end in ("gpl", "ase", "hex", "json", "css")]
    if network:
        tables.append(link(visit, "model.safetensors", "Model"))
        palettes = ["<span>The palette as</span>", *palettes]
    picture = link(visit, "recoloured.png", "Picture (PNG, full size)", at, main=True)
    title = "Take it with you, strengths included"
    return downloads.links(picture, "".join(tables), "".join(palettes) if network else "", title=title)
