"""The metadata that is kept with a picture: date of taking, author and rights.

The place, serial numbers, thumbnails and the editing history are dropped.
Sources: Exif 2.32, the XMP specification (ISO 16684-1), IPTC-IIM 4.2.
"""

import re
import struct
from contextlib import suppress
from io import BytesIO
from typing import Any, BinaryIO
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from vision_core.pictures import tiff_directories

EXIF_DIRECTORY, INTEROPERABILITY, ORIENTATION, XP_AUTHOR, ARTIST = 34665, 40965, 274, 0x9C9D, 315
FIRST = (270, 271, 272, 306, ARTIST, 33432)  # description, make, model, change, artist, copyright
SECOND = (36867, 36868, 36880, 36881, 36882, 37520, 37521, 37522)  # taken, digitised; offsets; split seconds
LONGEST = 2000  # maximum characters of a text; a JPEG has 64 kB for all texts
MAX_XMP = 8 << 20  # editing histories take megabytes
MAX_MARKS = 300_000  # elements and attributes; parsing them takes much longer than text

_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_SPACES = {
    "dc": "http://purl.org/dc/elements/1.1/",
    "xmp": "http://ns.adobe.com/xap/1.0/",
    "xmpRights": "http://ns.adobe.com/xap/1.0/rights/",
    "exif": "http://ns.adobe.com/exif/1.0/",
    "photoshop": "http://ns.adobe.com/photoshop/1.0/",
    "cc": "http://creativecommons.org/ns#",
}
_PROPERTIES = {  # of XMP, and the kind of list that each is
    "dc:creator": "Seq",
    "dc:rights": "Alt",
    "xmpRights:Marked": "",
    "xmpRights:WebStatement": "",
    "xmpRights:UsageTerms": "Alt",
    "xmpRights:Owner": "Bag",
    "cc:license": "",
    "cc:attributionName": "",
    "photoshop:Credit": "",
    "photoshop:DateCreated": "",
    "xmp:CreateDate": "",
    "exif:DateTimeOriginal": "",
}
_IPTC = {80: "dc:creator", 116: "dc:rights", 110: "photoshop:Credit", 55: "date", 60: "time"}

Rights = dict[str, list[str]]


def from_exif(data: bytes) -> tuple[dict[int, str], int, bool]:
    """Of a block of EXIF: the texts to keep, the orientation, and whether the colours are Adobe RGB.

    Damaged EXIF is no reason to refuse a picture: it says nothing.
    """
    file = BytesIO(data.removeprefix(b"Exif\0\0"))
    with suppress(ValueError, struct.error, OverflowError):
        return from_directory(file, next(tiff_directories.directories(file)))
    return {}, 1, False


def from_directory(file: BinaryIO, first: tiff_directories.Directory) -> tuple[dict[int, str], int, bool]:
    """Like `from_exif`, for a directory of the file."""
    texts, adobe = _texts(first, FIRST), False
    with suppress(UnicodeDecodeError):
        if ARTIST not in texts and (author := _clean((first.bytes(XP_AUTHOR) or b"").decode("utf-16-le"))):
            texts[ARTIST] = author
    with suppress(ValueError, struct.error, OverflowError):
        if at := first.value(EXIF_DIRECTORY, 0):
            second = tiff_directories.directory(file, first.order, first.big, at)[0]
            texts |= _texts(second, SECOND)
            space, inner = second.value(0xA001), second.value(INTEROPERABILITY, 0)
            adobe = space == 2
            if space == 0xFFFF and inner:
                adobe = tiff_directories.directory(file, first.order, first.big, inner)[0].value(1) == "R03"
    orientation = first.value(ORIENTATION, 1)
    return texts, orientation if isinstance(orientation, int) else 1, adobe


def rights(xmp: bytes | None, iptc: bytes | None) -> bytes | None:
    """An XMP packet of the properties kept from the file's XMP and IPTC; None if there are none."""
    properties = {**_from_iptc(iptc or b""), **_from_xmp(xmp or b"")}
    return _packet(properties) if properties else None


def iptc_of(resources: Any) -> bytes | None:
    """The IPTC record in Photoshop's resources: Pillow's dictionary of them, or their bytes."""
    if isinstance(resources, dict):
        record = resources.get(0x0404)
        return record if isinstance(record, bytes) else None
    at = (resources or b"").find(b"8BIM\x04\x04")
    if at < 0:
        return None
    start = at + 6 + (resources[at + 6] + 2 & ~1)  # after a name of even length, its count included
    return resources[start + 4 : start + 4 + int.from_bytes(resources[start : start + 4])]


def _texts(directory: tiff_directories.Directory, kept: tuple[int, ...]) -> dict[int, str]:
    values = {tag: directory.value(tag) for tag in kept if tag in directory.tags}
    return {tag: text for tag, value in values.items() if isinstance(value, str) and (text := _clean(value))}


def _clean(text: str) -> str:
    """Strip blanks and control characters, and cut a text that is too long."""
    return re.sub(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff\ufffe\uffff]", "", text).strip()[:LONGEST]


def _from_xmp(packet: bytes) -> Rights:
    """The properties to keep; none of a packet that is malformed or declares entities."""
    plain = packet.replace(b"\0", b"")  # as UTF-16 may be
    declares = b"<!DOCTYPE" in plain or b"<!ENTITY" in plain
    marks = packet.count(b"<") + packet.count(b"=")
    if not packet or len(packet) > MAX_XMP or marks > MAX_MARKS or declares:
        return {}
    try:
        root = ElementTree.fromstring(packet.strip(b"\0 \r\n\t"))
    except (ElementTree.ParseError, ValueError, LookupError):
        return {}
    properties: Rights = {}
    names = {f"{{{_SPACES[name.split(':')[0]]}}}{name.split(':')[1]}": name for name in _PROPERTIES}
    for description in root.iter(f"{{{_RDF}}}Description"):
        for key, text in description.attrib.items():
            if key in names and (text := _clean(text)):
                properties.setdefault(names[key], [text])
        for element in description:
            if name := names.get(element.tag):
                texts = [item.text or "" for item in element.iter(f"{{{_RDF}}}li")] or [element.text or ""]
                texts.append(element.get(f"{{{_RDF}}}resource", ""))
                if texts := [text for text in map(_clean, texts[:20]) if text]:
                    properties.setdefault(name, texts)
    return properties


def _from_iptc(record: bytes) -> Rights:
    """The properties that an IPTC record holds."""
    properties: Rights = {}
    for mark in re.finditer(rb"\x1c\x02(.)(..)", record, re.DOTALL):
        name = _IPTC.get(mark[1][0])
        data = record[mark.end() : mark.end() + int.from_bytes(mark[2])]
        if name:
            with suppress(UnicodeDecodeError):
                properties.setdefault(name, []).append(_clean(data.decode()))
                continue
            properties.setdefault(name, []).append(_clean(data.decode("latin-1")))
    date, time = (properties.pop(name, [""])[0] for name in ("date", "time"))
    if moment := re.fullmatch(r"(\d{4})(\d\d)(\d\d)", date):
        when = "-".join(moment.groups())
        if clock := re.fullmatch(r"(\d\d)(\d\d)(\d\d)(?:([+-]\d\d)(\d\d))?", time):
            when += f"T{clock[1]}:{clock[2]}:{clock[3]}" + (f"{clock[4]}:{clock[5]}" if clock[4] else "")
        properties["photoshop:DateCreated"] = [when]
    return {name: [text for text in texts if text] for name, texts in properties.items() if any(texts)}


def _packet(properties: Rights) -> bytes:
    """An XMP packet of these properties alone."""
    lines = []
    for name in _PROPERTIES:
        texts, kind = [escape(text) for text in properties.get(name, ())], _PROPERTIES[name]
        if not texts:
            continue
        language = ' xml:lang="x-default"' if kind == "Alt" else ""
        inside = texts[0]
        if kind:
            inside = "".join(
                f"<rdf:li{language}>{text}</rdf:li>" for text in (texts[:1] if language else texts)
            )
            inside = f"<rdf:{kind}>{inside}</rdf:{kind}>"
        lines.append(f"<{name}>{inside}</{name}>")
    spaces = " ".join(f'xmlns:{prefix}="{address}"' for prefix, address in _SPACES.items())
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
        f'<rdf:RDF xmlns:rdf="{_RDF}"><rdf:Description rdf:about="" {spaces}>{"".join(lines)}'
        '</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
    ).encode()
