"""The landing page: what the five systems do, each with a picture, and which are built."""

from dataclasses import dataclass
from html import escape
from importlib import metadata
from pathlib import Path

from apps.shared import visits
from vision_core import files

PAGE = Path(__file__).with_name("landing.html")


@dataclass(frozen=True)
class Card:
    """One system. Without `link` it is not built yet; `picture` is a file of assets/landing."""

    title: str
    text: str
    picture: str
    alt: str
    link: str = ""


CARDS = (
    Card(
        "Colour transfer",
        "Give one photograph the colours of another. A small network learns them while you watch; take the "
        "result as a picture, as low-poly art or as a LUT for your photo and video programs.",
        "color-transfer.jpg",
        "a palace by a lake, left in its own colours, right in those of a dahlia",
        "/color-transfer/",
    ),
    Card(
        "Digit explorer",
        "Draw a digit and see a small network read it, layer by layer, in your browser. Play its training "
        "and watch when it learns.",
        "digits.jpg",
        "the digit explorer: a drawn digit, the network's layers and its answer",
        "/digits/",
    ),
    Card(
        "Dashboard",
        "Start a training of digits or leaves, follow its curves live, stop it when you have seen enough, "
        "and look inside what it learned, epoch by epoch.",
        "dashboard.jpg",
        "the dashboard with its curves and filters",
        "/dashboard/",
    ),
    Card(
        "Image editing",
        "Say what should change and where; everything else stays, bit for bit.",
        "editing.jpg",
        "a rocket on its pad, and the same pad after the rocket was removed",
        "/image-editing/",
    ),
    Card(
        "Manuscript restoration",
        "Remove stains, yellowing and shade from old pages. See what was changed and where the network "
        "guesses, and keep the original where restoring does not help.",
        "restoration.jpg",
        "a page, left yellowed and with ink that shows through, right restored",
        "/restoration/",
    ),
    Card(
        "Leaf classifier",
        "Which disease does this leaf have, how sure is the network, and where did it look? The dashboard "
        "can train it on your own leaves, too.",
        "leaves.jpg",
        "a leaf with rust, on its right half where the classifier looked",
        "/dashboard/predict",
    ),
)


def page() -> str:
    """The whole page as HTML."""
    text = PAGE.read_text("utf-8").replace("<!-- kept -->", str(1000 * visits.lifetime()))
    return text.replace("<!-- cards -->", "\n".join(map(_card, CARDS)))


def not_found() -> str:
    """The page for an unknown address, in the style of the landing page."""
    head, _, _ = PAGE.read_text("utf-8").partition("<header>")
    words = "<h1>There is nothing at this address</h1><p>It may have moved, or a letter is missing.</p>"
    return f'{head}<header>{words}<p><a href="/">All five systems</a></p></header></main></body></html>'


def _card(card: Card) -> str:
    picture = f'<img src="/pictures/{card.picture}" alt="{escape(card.alt)}" width="640" height="400">'
    words = f"<h2>{escape(card.title)}</h2><p>{escape(card.text)}</p>"
    if not card.link:
        return f'<li class="later">{picture}<div>{words}<span class="tag">not built yet</span></div></li>'
    return f'<li><a href="{card.link}">{picture}<div>{words}<span class="open">Open</span></div></a></li>'


def legal(name: str) -> str:
    """The text of LICENSE or NOTICE.md: at the top of a checkout, in an installed package's metadata."""
    top = Path(files.__file__).parents[1] / name
    if top.is_file():
        return top.read_text("utf-8")
    text = metadata.distribution("vision-core").read_text(f"licenses/{name}")
    if text is None:
        raise ValueError(f"this installation of vision-core has no {name}, which a copy of it must hold")
    return text
