"""Optional packages: what is missing of an extra, said with the line that brings it; and our own `apps`."""

import sys
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path

PAGES = Path(__file__).parents[1] / "apps" / "__init__.py"


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


def use_own_apps() -> None:
    """Let `apps` be the pages beside this package, whatever else of that name lies in the current folder.

    Raises:
        ValueError: another package `apps` is loaded already, or the pages are not there.
    """
    loaded = sys.modules.get("apps")
    if loaded is None:
        if not PAGES.is_file():
            raise ValueError(f"the pages are missing: there is no {PAGES}; install vision-core again")
        spec = spec_from_file_location("apps", PAGES)
        assert spec is not None and spec.loader is not None
        sys.modules["apps"] = module_from_spec(spec)
        spec.loader.exec_module(sys.modules["apps"])
    elif Path(loaded.__file__ or next(iter(loaded.__path__))).resolve() != PAGES.resolve():
        where = loaded.__file__ or next(iter(loaded.__path__))
        raise ValueError(
            f"another package called apps is loaded, {where}: start vision-core in a process of its own"
        )
