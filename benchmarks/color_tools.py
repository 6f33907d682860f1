"""Times palettes, LUTs and low poly against common alternatives.

    python benchmarks/color_tools.py [PHOTOGRAPH]

The photograph (a bundled one by default) is enlarged or reduced to each size. "k-means on all pixels" is
scikit-learn's KMeans with ten restarts on every pixel in CIELAB. Reports the best of three.
"""

import sys
import time
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageFilter
from sklearn.cluster import KMeans

from vision_core.color import lowpoly, lut
from vision_core.color.colormap import NODES
from vision_core.color.palette import count_colors, extract
from vision_core.color.spaces import encode
from vision_core.files import bundled
from vision_core.pictures import images

SMALL, MEDIUM, LARGE = (660, 440), (3000, 2000), (6000, 4000)


def best(action: Callable[[], object], repeats: int = 3) -> float:
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        action()
        times.append(time.perf_counter() - start)
    return min(times)


def warm(colors: np.ndarray) -> np.ndarray:
    """An example of a colour map: curves and a little mixing."""
    red, green, blue = colors.T
    return np.stack([red**0.8, green * (0.8 + 0.2 * red), 0.9 * blue**1.3], 1)


def row(task: str, size: str, seconds: float) -> None:
    print(f"{task:<44}{size:>14}{seconds:>10.3f} s")


def palettes(photos: dict[str, np.ndarray]) -> None:
    for size, rgb in photos.items():
        row("palette", size, best(lambda rgb=rgb: extract(rgb)))
        row("  of which counting colours", size, best(lambda rgb=rgb: count_colors(rgb)))
    size, rgb = next(iter(photos.items()))
    pixels = encode(rgb.reshape(-1, 3), "lab")
    row("k-means on all pixels", size, best(lambda: KMeans(25, n_init=10, random_state=42).fit(pixels), 1))


def tables(photos: dict[str, np.ndarray]) -> None:
    baked = lut.bake(warm, NODES)
    alone = ImageFilter.Color3DLUT(NODES, baked)
    for size, rgb in list(photos.items())[1:]:
        row(f"LUT of {NODES} nodes", size, best(lambda rgb=rgb: lut.apply(baked, rgb)))
        row("  Pillow alone", size, best(lambda rgb=rgb: np.asarray(Image.fromarray(rgb).filter(alone))))
        row("  the function itself, no LUT", size, best(lambda rgb=rgb: warm(rgb.reshape(-1, 3) / 255), 1))
    row("both strengths, baked in", f"{NODES} nodes", best(lambda: lut.with_strength(baked, 0.5, 0.2)))


def low_poly(rgb: np.ndarray) -> None:
    density = 20.0  # then adjusted to ten thousand triangles
    for _ in range(4):
        count = len(lowpoly.triangulate(rgb, 20, density).triangles)
        density = max(1.0, density * count / 10_000)
    mesh = lowpoly.triangulate(rgb, 20, density)
    size = f"{len(mesh.triangles):,} tri."
    colors = lowpoly.triangle_colors(mesh, rgb)

    def whole() -> None:
        fresh = lowpoly.triangulate(rgb, 20, density)
        lowpoly.render_png(fresh, lowpoly.triangle_colors(fresh, rgb))

    row("low poly of 1 megapixel, PNG", size, best(whole))
    row("  points and triangles", size, best(lambda: lowpoly.triangulate(rgb, 20, density)))
    row("  drawing", size, best(lambda: lowpoly.render_png(mesh, colors)))
    row("  as SVG", size, best(lambda: lowpoly.render_svg(mesh, colors)))


def main() -> None:
    path = sys.argv[1] if len(sys.argv) > 1 else bundled("assets") / "color" / "palace.jpg"
    photo = Image.fromarray(images.read(path).rgb)
    photos = {f"{w * h / 1e6:.1f} Mpx": np.asarray(photo.resize((w, h))) for w, h in (SMALL, MEDIUM, LARGE)}
    palettes(photos)
    tables(photos)
    low_poly(np.asarray(photo.resize((1200, 800))))


if __name__ == "__main__":
    main()
