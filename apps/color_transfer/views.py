"""The colour app's pieces of HTML: swatches and numbers in words."""

from typing import Any

from vision_core.color import Palette
from vision_core.color.palette_files import to_hex


def bar(palette: Palette) -> str:
    """The palette as a bar whose parts are as wide as the shares."""
    parts = [
        f'<span style="flex:{max(share, 0.002):.4f};background:{color}"></span>'
        for color, share in zip(to_hex(palette.colors), palette.shares, strict=True)
    ]
    return f'<div class="vc-bar" aria-hidden="true">{"".join(parts)}</div>'


def swatches(palette: Palette | None, locked: tuple[str, ...] = (), chosen: int | None = None) -> str:
    """The palette as a bar, and a button for each colour."""
    if palette is None:
        return '<p class="vc-empty">Choose a picture on the right, and its colours appear here.</p>'
    buttons = []
    colors = to_hex(palette.colors)
    for index, (color, share) in enumerate(zip(colors, palette.shares, strict=True)):
        state = ", locked" if color in locked else ""
        buttons.append(
            f'<button type="button" data-index="{index}" aria-pressed="{str(index == chosen).lower()}" '
            f'aria-label="colour {color}, {share:.1%} of the picture{state}">'
            f'<i style="background:{color}"></i><b>{color}</b>'
            f"<small>{share:.1%}{' 🔒' if state else ''}</small></button>"
        )
    return (
        f'{bar(palette)}<div class="vc-swatches" role="group" aria-label="palette">{"".join(buttons)}</div>'
    )


def facts(measured: dict[str, Any], palette: Palette) -> str:
    """What `metrics.measure` found, each number with the sentence that makes sense of it."""
    missing = " ".join(to_hex(palette.colors[measured["missing"]]))
    ssim = measured["ssim"]
    tiles = [
        (
            f"{measured['colors_used']} of {measured['colors']}",
            "palette colours in use",
            f"Hardly used: {missing}" if missing else "Every colour that matters has its place.",
        ),
        (
            f"{1 - measured['total_variation']:.0%}",
            "of the pixels in the palette's proportions",
            "100 % would be exactly the amounts of the palette.",
        ),
        (
            f"{measured['delta_e']:.1f}",
            "mean distance to the palette",
            "In Delta-E 2000; below 2 is hard to see.",
        ),
        (
            "–" if ssim is None else f"{ssim:.0%}",
            "of light and dark kept",
            "SSIM of the lightness: how much of the drawing is still there.",
        ),
    ]
    cells = [
        f"<li><b>{value}</b><span>{name}</span><small>{words}</small></li>" for value, name, words in tiles
    ]
    return f'<ul class="vc-facts" aria-label="how good the result is">{"".join(cells)}</ul>'


def methods(rows: list[dict[str, Any]], titles: dict[str, str]) -> str:
    """A table of methods, one a row, in which the best number of each column is marked."""
    best = {key: _best([row[key] for row in rows], key) for key in titles if key != "method"}
    head = "".join(f'<th scope="col">{title}</th>' for title in titles.values())
    body = []
    for row in rows:
        cells = [f'<th scope="row">{row["method"]}</th>']
        for key, top in best.items():
            mark = ' class="best"' if row[key] == top else ""
            cells.append(f"<td{mark}>{_cell(row[key])}</td>")
        body.append(f"<tr>{''.join(cells)}</tr>")
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody></table>"
    return f'<div class="vc-table" tabindex="0" role="region" aria-label="methods compared">{table}</div>'


def _best(values: list[Any], key: str) -> Any:
    known = [value for value in values if value is not None]
    pick = max if key in ("colors_used", "ssim") else min
    return pick(known) if known else object()


def _cell(value: Any) -> str:
    return "–" if value is None else f"{value:.2f}" if isinstance(value, float) else str(value)
