"""Tests that messages quote untrusted text safely."""

import unicodedata

from vision_core.safety import messages

ODD = "a\x1b[31mb\0c\x85\u202edc\u2066\u200b\ud800\ufeff\u2028e"


def loop(depth: int) -> list:
    created: list = []
    for _ in range(depth):
        created = [created, created]
    return created


def test_any_value_is_a_short_printable_part_of_a_sentence():
    strange = ["x" * 10**7, ODD * 1000, b"\xff" * 10**6, 10**5000, -(10**400), float("nan"), None, {ODD}]
    strange += [loop(60), {"a" * 500: loop(40)}, [list(range(10**6))] * 9, ("\n" * 10**6, "end")]
    for value in strange:
        part = messages.quote(value)
        assert 0 < len(part) <= messages.PART and part.isprintable()
        full = messages.sentence(ValueError(f"box is {part}, four numbers were expected"))
        assert full.startswith("box is ") and full.endswith(", four numbers were expected")


def test_a_sentence_keeps_its_two_ends():
    text = messages.sentence(f"start {'y' * 10**7}\n\n  end")
    assert (
        len(text) == messages.LONGEST
        and text.startswith("start y")
        and text.endswith("y end")
        and "…" in text
    )
    assert messages.sentence("as it was") == "as it was"
    assert messages.sentence(ValueError()) == "ValueError" and messages.sentence(ValueError(10**5000))


def test_nothing_that_steers_a_terminal_or_the_direction_of_text_passes():
    for text in (messages.sentence(ODD), messages.quote(ODD), messages.reason(ValueError(ODD))):
        assert not {unicodedata.category(one) for one in text} & {"Cc", "Cf", "Cs", "Zl", "Zp"}
    assert messages.sentence(ODD).startswith(r"a\x1b[31mb\x00c")
    assert messages.printable("one\n\ttwo\r\x1b[0m", kept="\n\t") == "one\n\ttwo\\r\\x1b[0m"
    assert messages.printable("Zoë, 木, 🌿") == "Zoë, 木, 🌿"


def test_a_reason_is_the_first_line_of_what_a_parser_said():
    assert messages.reason(ValueError("  bad\nmore")) == "bad"
    assert messages.reason(OSError(28, "No space left on device", "x")) == "No space left on device"
    assert messages.reason(KeyError()) == "KeyError"
    assert len(messages.reason(ValueError("z" * 10**7))) == 2 * messages.PART
