"""Messages about faults: one line of printable characters, at most 300.

Files and visitors choose part of such a sentence: a name, a number, what a parser said about them. None of
it may fill a screen or a log, colour a terminal, or turn the direction of the text.
"""

import reprlib

LONGEST = 300  # characters of a sentence
PART = 80  # characters of a value inside a sentence

_values = reprlib.Repr()
_values.maxlevel, _values.maxstring, _values.maxother = 2, PART, PART
_values.maxlist = _values.maxtuple = _values.maxdict = _values.maxset = _values.maxfrozenset = 3


def sentence(text: object, most: int = LONGEST) -> str:
    """An error, or the text of one, on one line and with its middle left out where it is too long."""
    try:
        full = str(text)
    except ValueError:  # a whole number of thousands of digits
        full = "a very large number"
    if len(full) > 4 * most:  # its middle is left out in any case, and may be megabytes
        full = full[: 2 * most] + full[-2 * most :]
    line = " ".join(full.split())
    return _shortened(printable(line), most) or type(text).__name__


def quote(value: object, most: int = PART) -> str:
    """A value that a file or a person gave, as Python writes it, for the inside of a sentence.

    Lists inside of lists are left out, for they may hold themselves or have more parts than memory.
    """
    try:
        return _shortened(printable(_values.repr(value)), most)
    except (ValueError, RecursionError):  # a whole number of thousands of digits
        return f"a very large {type(value).__name__}"


def reason(error: BaseException, most: int = 2 * PART) -> str:
    """The message of a parser or the system, for the end of a sentence."""
    lines = str(getattr(error, "strerror", None) or error).strip()[: 4 * most].splitlines()
    return sentence(lines[0], most) if lines else type(error).__name__


def printable(text: str, kept: str = "") -> str:
    r"""`text` in which control characters, but those `kept`, and direction marks are written as \x1b."""
    if text.isprintable():
        return text
    return "".join(
        one if one.isprintable() or one in kept else one.encode("unicode_escape").decode() for one in text
    )


def _shortened(text: str, most: int) -> str:
    """At most `most` characters; what is left out is the middle, for the end often says what to do."""
    end = most * 2 // 5
    return text if len(text) <= most else f"{text[: most - end - 1]}…{text[-end:]}"
