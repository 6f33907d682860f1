"""The digit explorer's page as one HTML text for a frame that reaches neither its parent nor a network.

One way for every place: the same text works under `streamlit run`, in the suite and behind a proxy, and it
shows any export, for nothing has to be served beside it.
"""

import base64
import html
import json
import re
from typing import Literal

from vision_core.files import bundled

POLICY = (
    "default-src 'none'; script-src 'unsafe-inline' data:; style-src 'unsafe-inline'; img-src data: blob:"
)
HEAD = """<meta http-equiv="Content-Security-Policy" content="{policy}">
<style>{style}</style>
<script type="importmap">{imports}</script>
<script>
const files = {files};
const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
const asked = (url) => (String(url).endsWith(".json") ? "index" : "binary");
globalThis.fetch = async (url) => new Response(bytes(files[asked(url)]));
</script>
<script type="module">import "main.js";</script>
</head>"""
FRAME = """<!doctype html><style>
html, body {{ margin: 0; height: 100% }}
iframe {{ border: 0; width: 100%; height: 100%; display: block }}
</style><iframe title="Digit explorer" sandbox="allow-scripts allow-downloads" srcdoc="{page}"></iframe>"""


def framed(index: bytes, binary: bytes, theme: Literal["light", "dark"] = "light") -> str:
    """The page showing the export `index` and `binary`, sandboxed in a frame: one HTML text."""
    return FRAME.format(page=html.escape(assembled(index, binary, theme)))


def assembled(index: bytes, binary: bytes, theme: str) -> str:
    """The page of apps/digits_site with its style, scripts and data inside it."""
    site = bundled("apps") / "digits_site"
    scripts = {path.name: _data_url(path.read_text("utf-8")) for path in sorted((site / "js").glob("*.js"))}
    head = HEAD.format(
        policy=POLICY,
        style=(site / "style.css").read_text("utf-8"),
        imports=json.dumps({"imports": scripts}),
        files=json.dumps({"index": _base64(index), "binary": _base64(binary)}),
    )
    page = (site / "index.html").read_text("utf-8")
    page = re.sub(r'\s*<(meta http-equiv|link|script type="module")[^>]*>(</script>)?', "", page)
    page = page.replace('<html lang="en"', f'<html lang="en" data-theme="{theme}"', 1)
    return page.replace("</head>", head, 1)


def _data_url(script: str) -> str:
    """A module as a data URL; its imports lose "./", as the import map expects."""
    bare = re.sub(r'(from|import) "\./([\w.-]+\.js)"', r'\1 "\2"', script)
    return "data:text/javascript;base64," + _base64(bare.encode())


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
