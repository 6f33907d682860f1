"""Pictures to choose from, for a visitor who has none at hand."""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from html import escape
from io import BytesIO
from pathlib import Path

from PIL import Image


def examples(folder: Path, names: Sequence[str], captions: Mapping[str, str] | None = None) -> str:
    """A button for each `NAME.jpg` of a folder, the picture inside the HTML; its caption is below, if any."""
    buttons = []
    for name in names:
        buffer = BytesIO()
        with Image.open(folder / f"{name}.jpg") as image:
            image.thumbnail((200, 200))
            image.save(buffer, "JPEG", quality=80)
        uri = f"data:image/jpeg;base64,{b64encode(buffer.getvalue()).decode()}"
        alt, below = ("", f"<span>{escape(captions[name])}</span>") if captions else (name, "")
        buttons.append(
            f'<button type="button" data-act="example" data-value="{name}">'
            f'<img src="{uri}" alt="{alt}">{below}</button>'
        )
    kind, label = (" vc-pages", "example pages") if captions else ("", "example pictures")
    return (
        f'<div class="vc-examples{kind}" role="group" aria-label="{label}">'
        f"<span>or take one of these</span><div>{''.join(buttons)}</div></div>"
    )
