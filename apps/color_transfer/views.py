"""The colour app's pieces of HTML: swatches and numbers in words."""

from vision_core.color import Palette
from vision_core.color.palette_files import to_hex


def swatches(palette: Palette | None, locked: tuple[str, ...] = (), chosen: int | None = None) -> str:
    """The palette: a bar whose parts are as wide as the shares, and a button for each colour."""
    if palette is None:
        return '<p class="vc-empty">Choose a picture on the right, and its colours appear here.</p>'
    bar, buttons = [], []
    colors = to_hex(palette.colors)
    for index, (color, share) in enumerate(zip(colors, palette.shares, strict=True)):
        bar.append(f'<span style="flex:{max(share, 0.002):.4f};background:{color}"></span>')
        state = ", locked" if color in locked else ""
        buttons.append(
            f'<button type="button" data-index="{index}" aria-pressed="{str(index == chosen).lower()}" '
            f'aria-label="colour {color}, {share:.1%} of the picture{state}">'
            f'<i style="background:{color}"></i><b>{color}</b>'
            f"<small>{share:.1%}{' 🔒' if state else ''}</small></button>"
        )
    return (
        f'<div class="vc-bar" aria-hidden="true">{"".join(bar)}</div>'
        f'<div class="vc-swatches" role="group" aria-label="palette">{"".join(buttons)}</div>'
    )
