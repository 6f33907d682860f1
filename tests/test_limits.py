"""Every limit: a test at it and one above, its sentence and its variable; the table of the docs."""

from pathlib import Path

import pytest

from vision_core import limits
from vision_core.limits import LIMITS, check_size
from vision_core.messages import LONGEST


@pytest.mark.parametrize("name", LIMITS)
def test_a_limit_is_accepted_and_one_more_is_refused_with_both_numbers(name, monkeypatch):
    limit = LIMITS[name]
    limit.check(limit.value, "it")
    for more in (limit.value + 1, 10**400, float("inf"), float("nan")):
        with pytest.raises(ValueError) as refused:
            limit.check(more, "it")
        text = str(refused.value)
        assert text.startswith("it has ") and len(text) <= LONGEST
        assert f"at most {limit.default:,.10g} are accepted ({limit.variable})" in text
    monkeypatch.setenv(limit.variable, "3")
    limit.check(3 * limit.scale, "it")
    with pytest.raises(ValueError, match="at most 3 are accepted"):
        limit.check(3 * limit.scale + 1, "it")


@pytest.mark.parametrize("text", ["many", "-1", "0", "nan", "inf", "1e400", "\x1b[31m"])
def test_a_variable_that_is_no_number_is_named(monkeypatch, text):
    monkeypatch.setenv("VISION_CORE_MAX_PIXELS", text)
    with pytest.raises(ValueError, match=r"VISION_CORE_MAX_PIXELS is '.*'; a number of pixels was expected"):
        limits.PIXELS.check(1, "it")


def test_the_size_of_a_picture_is_refused_by_its_numbers():
    check_size(5000, 10_000, "x.png")
    with pytest.raises(ValueError, match=r"x\.png has 10,000 x 5,001 pixels, 50 megapixels; at most 50 are"):
        check_size(5001, 10_000, "x.png")
    for side in (100_001, 10**400, float("inf"), float("nan")):
        with pytest.raises(ValueError, match=r"it has .* pixels; at most 100,000 are accepted"):
            check_size(1, side, "it")


def test_the_docs_print_the_table_and_name_tests_that_exist():
    root = Path(__file__).parents[1]
    text = (root / "docs" / "security.md").read_text()
    assert limits.table() in text, "print(limits.table()) gives the table of docs/security.md"
    named = {word for word in text.split("`") if word.startswith("tests/")}
    assert len(named) > 9 and all((root / word).is_file() for word in named)
