"""Commands of the suite: serve, space, models, doctor."""

from pathlib import Path
from typing import Annotated

import typer

from vision_core.cli.verbs import Answer, command, watch


def register(app: typer.Typer) -> None:
    """Add the commands to the root app."""
    for function in (serve, space, models, doctor):
        command(app)(function)


def serve(
    host: Annotated[
        str, typer.Option(help="Address to listen on; 0.0.0.0 exposes it to the network.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535)] = 7860,
    allow_host: Annotated[
        list[str] | None, typer.Option(help="Additional host name to accept; may be repeated.")
    ] = None,
    only: Annotated[
        str | None,
        typer.Option(help="One app alone at /: color_transfer, image_editing, restoration or dashboard."),
    ] = None,
) -> Answer:
    """Serve the landing page, the apps and the dashboard on one port."""
    from vision_core import extras

    extras.need("apps", "the pages", "fastapi", "gradio", "streamlit", "uvicorn")
    extras.use_own_apps()
    from apps import suite

    suite.serve(host, port, allow_host or (), only)
    return Answer("stopped")


def space(
    name: Annotated[str, typer.Argument(help="color, edit, restore, dashboard, digits or leaves.")],
    out: Annotated[Path, typer.Option(help="Folder to write, new or empty.")],
) -> Answer:
    """Write one app as a Hugging Face Space: card, requirements, code and weights."""
    from vision_core import extras

    extras.use_own_apps()
    from apps import spaces

    folder = spaces.write(name, out)
    written = [path for path in folder.rglob("*") if path.is_file() and ".git" not in path.parts]
    size = sum(path.stat().st_size for path in written)
    text = (
        f"{folder}: {len(written)} files, {size / 1e6:.1f} MB. "
        f"To publish it: hf upload YOUR-NAME/{name} {folder} . --repo-type space"
    )
    return Answer(text, {"out": str(folder), "files": len(written), "bytes": size})


def models(
    fetch: Annotated[str | None, typer.Option(help="Download the weights of this name, or lama.")] = None,
) -> Answer:
    """List the known weights, and whether they are available; --fetch downloads some."""
    from vision_core import weights
    from vision_core.weights import WEIGHTS, locate

    if fetch is not None:
        from vision_core.editing.fill import lama

        path = watch(lama.fetch() if fetch == "lama" else weights.fetch(fetch), fetch)
        return Answer(f"{fetch}: {path}, {path.stat().st_size:,} bytes", {"name": fetch, "file": str(path)})

    rows = {
        name: {
            "file": entry.file,
            "here": locate(entry) is not None,
            "licence": entry.licence,
            "source": entry.source,
        }
        for name, entry in WEIGHTS.items()
    }
    lines = [
        f"{name}: {'here' if row['here'] else 'missing'}, {row['licence']}, {row['source']}"
        for name, row in rows.items()
    ]
    return Answer("\n".join(lines), {"models": rows})


def doctor() -> Answer:
    """Show versions, device, bfloat16 speed, weights and browser of this machine."""
    import platform
    import shutil
    from importlib.metadata import PackageNotFoundError, version

    import vision_core
    from vision_core import devices
    from vision_core.weights import WEIGHTS, locate

    packages: dict[str, str | None] = {}
    for name in "torch torchvision accelerate gradio streamlit diffusers transformers plotly pillow".split():
        try:
            packages[name] = version(name)
        except PackageNotFoundError:
            packages[name] = None
    device = devices.pick()
    browser = next(
        filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None
    )
    data = {
        "vision_core": vision_core.__version__,
        "python": platform.python_version(),
        "packages": packages,
        "device": str(device),
        "bf16_speedup": round(devices.bf16_speedup(str(device)), 2),
        "autocast": str(devices.autocast_dtype(device)).removeprefix("torch."),
        "weights": {name: locate(entry) is not None for name, entry in WEIGHTS.items()},
        "browser": browser,
        "node": shutil.which("node"),
        "ffmpeg": shutil.which("ffmpeg"),
    }
    lines = [
        f"vision-core {data['vision_core']}, Python {data['python']}",
        "packages: "
        + ", ".join(f"{name} {release or 'not installed'}" for name, release in packages.items()),
        f"device: {device}; a bfloat16 matrix product is {data['bf16_speedup']} times as fast as float32",
        "weights: "
        + ", ".join(f"{name} {'here' if here else 'missing'}" for name, here in data["weights"].items()),
        f"browser for the tests: {browser or 'none'}; node: {data['node'] or 'none'}",
        f"ffmpeg: {data['ffmpeg'] or 'none'}",
    ]
    return Answer("\n".join(lines), data)
