"""Optional dependencies, reported with the command that installs them; and the import of our own `apps`."""

import sys
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path

PAGES = Path(__file__).parents[1] / "apps" / "__init__.py"


class ExtraMissing(ImportError):
    """Packages of an extra are not installed; the message says how to install them."""


def need(extra: str, what: str, *modules: str) -> None:
    """Raise `ExtraMissing` if one of the modules is not installed.

    Args:
        extra: name of the extra that provides them.
        what: the feature that needs them, as the plural subject of the message, e.g. "the pages".
    """
    if missing := [name for name in modules if find_spec(name) is None]:
        raise ExtraMissing(
            f"{what} need more packages ({', '.join(missing)}): pip install 'vision-core[{extra}]'"
        )


def use_own_apps() -> None:
    """Import our own package `apps`, even if the current folder has another one of that name.

    Raises:
        ValueError: another package `apps` is already imported, or ours is missing.
    """
    loaded = sys.modules.get("apps")
    if loaded is None:
        if not PAGES.is_file():
            raise ValueError(f"the web apps are missing: there is no {PAGES}; reinstall vision-core")
        spec = spec_from_file_location("apps", PAGES)
        assert spec is not None and spec.loader is not None
        sys.modules["apps"] = module_from_spec(spec)
        spec.loader.exec_module(sys.modules["apps"])
    elif Path(loaded.__file__ or next(iter(loaded.__path__))).resolve() != PAGES.resolve():
        where = loaded.__file__ or next(iter(loaded.__path__))
        raise ValueError(
            f"another package named apps is already imported, {where}: start vision-core in its own process"
        )
