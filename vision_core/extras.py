"""Optional packages: what is missing of an extra, said with the line that brings it."""

from importlib.util import find_spec


class ExtraMissing(ImportError):
    """Packages of an extra are not installed; the message is a sentence with the remedy."""


def need(extra: str, what: str, *modules: str) -> None:
    """Refuse with `ExtraMissing` where a module that the extra brings is not installed.

    Args:
        what: needs it, in the plural, as the sentence begins: "the pages".
    """
    if missing := [name for name in modules if find_spec(name) is None]:
        raise ExtraMissing(
            f"{what} need more packages ({', '.join(missing)}): pip install 'vision-core[{extra}]'"
        )
