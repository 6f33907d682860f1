"""Recognises file formats by content, so that unsupported ones can be named."""

import re

OPENED = "expected PNG, JPEG, WebP, TIFF, BMP, GIF, AVIF or HEIC"
RAW = "camera raw file ({}): develop it in your raw converter and export a TIFF or PNG"
_EXPORT = "export it as PNG or TIFF first"

# Each pattern is matched at the start of the file; the first that fits names it.
_KINDS = [
    (rb"\x00\x00\x00\x0cjP  |\xff\x4f\xff\x51", f"is a JPEG 2000 image; {_EXPORT}"),
    (rb"\xff\x0a|\x00\x00\x00\x0cJXL ", f"is a JPEG XL image; {_EXPORT}"),
    (rb"II\xbc", f"is a JPEG XR image; {_EXPORT}"),
    (rb"8BPS", f"is a Photoshop document (PSD); {_EXPORT}"),
    (rb"gimp xcf", f"is a GIMP document (XCF); {_EXPORT}"),
    (rb"%PDF|.{0,1000}?%PDF-1", "is a PDF document, not an image"),
    (rb"%!PS|\xc5\xd0\xd3\xc6", f"is a PostScript or EPS drawing; {_EXPORT}"),
    (rb"II\x55\x00|IIU\x00", f"is a {RAW.format('RW2')}"),
    (rb"IIR[OS]|MMOR", f"is a {RAW.format('ORF')}"),
    (rb"FUJIFILMCCD-RAW", f"is a {RAW.format('RAF')}"),
    (rb"FOVb", f"is a {RAW.format('X3F')}"),
    (rb"\x00MRM", f"is a {RAW.format('MRW')}"),
    (rb"II\x1a\x00.{4}HEAPCCDR", f"is a {RAW.format('CRW')}"),
    (rb"....ftypcrx ", f"is a {RAW.format('CR3')}"),
    (rb"....ftyp(?:hei[cxms]|hev[cxms]|mif1|msf1)", f"is a HEIC image of a kind we cannot read; {_EXPORT}"),
    (rb"....ftyp(?:qt  |isom|iso\d|mp4|M4V|avc1|3gp|dash)", "is a film, not an image"),
    (rb"\x1a\x45\xdf\xa3|RIFF....AVI |\x00\x00\x01\xba", "is a film, not an image"),
    (rb"\x76\x2f\x31\x01", f"is an OpenEXR image; {_EXPORT}"),
    (rb"#\?(?:RADIANCE|RGBE)", f"is a Radiance HDR image; {_EXPORT}"),
    (rb".{128}DICM", f"is a DICOM image; {_EXPORT}"),
    (rb"SIMPLE  =", f"is a FITS image; {_EXPORT}"),
    (rb"P[1-7]\s", f"is a Netpbm image; {_EXPORT}"),
    (rb"qoif", f"is a QOI image; {_EXPORT}"),
    (rb"DDS ", f"is a DDS texture; {_EXPORT}"),
    (rb"AT&TFORM", "is a DjVu document; export its pages as TIFF or PDF first"),
    (rb"\x00\x00[\x01\x02]\x00[\x01-\xff]\x00", f"is a Windows icon or cursor; {_EXPORT}"),
    (rb"icns\x00", f"is an Apple icon; {_EXPORT}"),
    (rb"\xd7\xcd\xc6\x9a|\x01\x00\x00\x00.{36} EMF", f"is a Windows metafile; {_EXPORT}"),
    (rb"PK\x03\x04|PK\x05\x06", "is a ZIP archive, not an image; unpack it first"),
    (rb"\x1f\x8b|BZh\d|7z\xbc\xaf|Rar!|\xfd7zXZ", "is a packed archive, not an image; unpack it first"),
    (rb"\x00\x05\x16[\x00\x07]", "is what macOS writes beside a file (AppleDouble), not an image"),
]
_MARKUP = [
    (rb"<svg[\s>]", f"is an SVG drawing; {_EXPORT}"),
    (rb"<!doctype html|<html[\s>]", "is a web page, not an image"),
]


def refusal(data: bytes) -> str:
    """Why a file that no reader recognised is not opened; reads on from the file's name."""
    head = bytes(data[:4096])
    for pattern, sentence in _KINDS:
        if re.match(pattern, head, re.DOTALL):
            return sentence
    for pattern, sentence in _MARKUP:
        if re.search(pattern, head, re.IGNORECASE):
            return sentence
    return f"is not an image we can read; {OPENED}"


def is_camera_raw(data: bytes) -> bool:
    """Whether the file is a camera raw that some reader could take for the picture inside it."""
    return "camera raw" in refusal(data)
