"""Low-poly art: Delaunay triangles between points on the edges of a picture, each in its mean colour."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from PIL import Image, ImageDraw

from vision_core.color.palette_files import to_hex
from vision_core.pictures.images import Picture

EDGE_PIXELS = 2_000_000  # larger pictures are downscaled first, so that the style is independent of size
MAX_POINTS = 100_000
GRID = 10
SMOOTH_PIXELS = 8_000_000  # up to this size, pictures are drawn at twice the resolution for smooth edges


@dataclass(frozen=True, eq=False)
class Mesh:
    """Triangles that cover a canvas exactly.

    Args:
        points: float64 (P, 2), x and y in pixels; (0, 0) is the outer corner of the first pixel.
        triangles: int (T, 3), indices of points.
        size: (width, height) of the canvas.
    """

    points: np.ndarray
    triangles: np.ndarray
    size: tuple[int, int]

    @cached_property
    def labels(self) -> np.ndarray:
        """int32 (H, W): the triangle that contains the centre of each pixel."""
        return _labels(self, 1)


def triangulate(
    rgb: np.ndarray,
    threshold: float = 50,
    density: float = 60,
    seed: int = 0,
    scatter: bool = False,
    alpha: np.ndarray | None = None,
) -> Mesh:
    """Sample points along the edges of a picture, uint8 (H, W, 3), and triangulate them.

    A coarse, jittered grid over the whole canvas is added to prevent triangles as long as the picture.

    Args:
        threshold: edge strength, 0 to 255, above which a pixel may become a point; 255 is the strongest edge
            of the picture. Smaller values give more points.
        density: one in this many edge pixels becomes a point, at least 1. Smaller values give more points, up
            to 100,000.
        seed: random seed for the points.
        scatter: distribute the same number of points uniformly instead of along edges.
        alpha: uint8 (H, W), if the picture has transparency: its outline counts as an edge.
    """
    if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.size == 0:
        raise ValueError(f"picture is {rgb.dtype} {rgb.shape}, expected uint8 (H, W, 3), at least one pixel")
    if not (0 <= threshold <= 255 and 1 <= density < float("inf")):
        raise ValueError(f"threshold {threshold} and density {density}: expected 0 to 255 and at least 1")
    height, width = rgb.shape[:2]
    rng = np.random.default_rng(seed)
    grid = _grid(width, height, rng)
    strong, step = _edge_pixels(rgb, threshold, alpha)
    number = min(int(len(strong) / density), MAX_POINTS)
    if scatter:
        inner = rng.random((number, 2)) * (width, height)
    else:
        chosen = strong[rng.choice(len(strong), number, replace=False)]
        inner = np.minimum((chosen + 0.5) * step, (width - 0.5, height - 0.5))
    points = np.unique(np.concatenate([grid, inner]), axis=0)
    from scipy.spatial import Delaunay

    return Mesh(points, Delaunay(points).simplices, (width, height))


def triangle_colors(mesh: Mesh, rgb: np.ndarray) -> np.ndarray:
    """Mean colour, uint8 (T, 3), of the pixels in each triangle.

    A triangle too thin to contain the centre of a pixel takes the colour at its centroid.
    """
    width, height = mesh.size
    if rgb.dtype != np.uint8 or rgb.shape != (height, width, 3):
        raise ValueError(f"picture is {rgb.dtype} {rgb.shape}, the mesh expects uint8 {(height, width, 3)}")
    labels, number = mesh.labels.ravel(), len(mesh.triangles)
    counts = np.bincount(labels, minlength=number)
    sums = [np.bincount(labels, channel, minlength=number) for channel in rgb.reshape(-1, 3).T]
    means = np.stack(sums, 1) / np.maximum(counts, 1)[:, None]
    empty = counts == 0
    x, y = np.floor(mesh.points[mesh.triangles[empty]].mean(1)).astype(int).T
    means[empty] = rgb[y.clip(0, height - 1), x.clip(0, width - 1)]
    return np.rint(means).astype(np.uint8)


def draw(mesh: Mesh, colors: np.ndarray, alpha: np.ndarray | None = None) -> Picture:
    """Draw the triangles in their colours, uint8 (T, 3), with the mean opacity of `alpha`, uint8 (H, W)."""
    opacity = _opacity(mesh, alpha)
    shown = None if opacity is None else render_png(mesh, np.repeat(opacity[:, None], 3, 1))[..., 0]
    return Picture(render_png(mesh, colors), None if shown is None else np.ascontiguousarray(shown))


def _opacity(mesh: Mesh, alpha: np.ndarray | None) -> np.ndarray | None:
    """Opacity of the triangles, uint8 (T,), or None if all are opaque."""
    if alpha is None:
        return None
    opacity = triangle_colors(mesh, np.repeat(alpha[..., None], 3, 2))[:, 0]
    return None if (opacity == 255).all() else opacity


def render_png(mesh: Mesh, colors: np.ndarray) -> np.ndarray:
    """Draw the triangles in their colours, uint8 (T, 3) -> uint8 (H, W, 3), every pixel covered."""
    width, height = mesh.size
    _check_colors(mesh, colors)
    if width * height > SMOOTH_PIXELS:
        return colors[mesh.labels]
    return np.asarray(Image.fromarray(colors[_labels(mesh, 2)]).reduce(2))


def render_svg(mesh: Mesh, colors: np.ndarray, alpha: np.ndarray | None = None) -> str:
    """Draw the triangles as SVG without visible seams; fully transparent triangles are omitted.

    Where two anti-aliased triangles meet, the page behind shines through. Strokes of one pixel in the fill
    colour close the seams (half a pixel leaves 8 % of the page visible, no stroke 35 %), and a background in
    the mean colour hides the rest.
    """
    width, height = mesh.size
    _check_colors(mesh, colors)
    corners = mesh.points[mesh.triangles].reshape(-1, 6).tolist()
    opacity = _opacity(mesh, alpha)
    shares = [255] * len(colors) if opacity is None else opacity.tolist()
    opacities = [f' opacity="{share / 255:.3g}"' if share < 255 else "" for share in shares]
    shapes = [
        f'<path d="M{a:.6g} {b:.6g}L{c:.6g} {d:.6g}L{e:.6g} {f:.6g}z" fill="{fill}" stroke="{fill}"{opaque}/>'
        for (a, b, c, d, e, f), fill, opaque in zip(corners, to_hex(colors), opacities, strict=True)
        if opaque != ' opacity="0"'
    ]
    size = f'width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size}>'
    mean = to_hex(np.rint(colors.mean(0, keepdims=True)).astype(np.uint8))[0]
    rect = [f'<rect width="{width}" height="{height}" fill="{mean}"/>'] if opacity is None else []
    return "\n".join([head, *rect, '<g stroke-linejoin="round">', *shapes, "</g>", "</svg>", ""])


def edges(mesh: Mesh) -> np.ndarray:
    """The unique edges of the triangles: int (E, 2), indices of points."""
    sides = np.sort(mesh.triangles[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1)
    return np.unique(sides, axis=0)


def wireframe(mesh: Mesh, line: str = "#1f2937", background: str = "#ffffff") -> np.ndarray:
    """Draw the edges of the triangles -> uint8 (H, W, 3)."""
    width, height = mesh.size
    scale = 2 if width * height <= SMOOTH_PIXELS else 1
    image = Image.new("RGB", (width * scale, height * scale), background)
    draw = ImageDraw.Draw(image)
    for segment in (mesh.points[edges(mesh)] * scale - 0.5).reshape(-1, 4).tolist():
        draw.line(segment, fill=line, width=scale)
    return np.asarray(image.reduce(scale))


def wireframe_svg(mesh: Mesh, line: str = "#1f2937", background: str = "#ffffff") -> str:
    """Draw the edges of the triangles as SVG."""
    width, height = mesh.size
    ends = mesh.points[edges(mesh)].reshape(-1, 4).tolist()
    path = "".join(f"M{a:.6g} {b:.6g}L{c:.6g} {d:.6g}" for a, b, c, d in ends)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}">\n<rect width="{width}" height="{height}" fill="{background}"/>\n'
        f'<path d="{path}" fill="none" stroke="{line}"/>\n</svg>\n'
    )


def _edge_pixels(rgb: np.ndarray, threshold: float, alpha: np.ndarray | None) -> tuple[np.ndarray, int]:
    """Edge pixels (N, 2), x and y, of the downscaled picture by Sobel magnitude, and the scale factor."""
    height, width = rgb.shape[:2]
    step = int(np.ceil(np.sqrt(height * width / EDGE_PIXELS)))
    from scipy.ndimage import gaussian_filter, sobel

    def edges_of(levels: Image.Image) -> np.ndarray:
        smooth = gaussian_filter(np.asarray(levels.reduce(step), np.float32), 1.0)
        strength = np.hypot(sobel(smooth, 0), sobel(smooth, 1))
        return strength * (255 / max(strength.max(), 1e-6))

    strength = edges_of(Image.fromarray(rgb).convert("L"))
    if alpha is not None:
        strength = np.maximum(strength, edges_of(Image.fromarray(alpha)))
    y, x = np.nonzero(strength > threshold)
    return np.stack([x, y], 1), step


def _grid(width: int, height: int, rng: np.random.Generator) -> np.ndarray:
    """A grid of points (N, 2), about GRID along the longer side: regular on the border, jittered inside."""
    spacing = max(width, height, 16 * GRID) / GRID
    columns, rows = (max(1, round(side / spacing)) for side in (width, height))
    x, y = np.meshgrid(np.arange(columns + 1), np.arange(rows + 1))
    inside = (x > 0) & (x < columns) & (y > 0) & (y < rows)
    jitter = rng.uniform(-0.3, 0.3, (2, *x.shape)) * inside
    return np.stack([(x + jitter[0]) * width / columns, (y + jitter[1]) * height / rows], -1).reshape(-1, 2)


def _labels(mesh: Mesh, scale: int) -> np.ndarray:
    """Rasterise: int32 (H * scale, W * scale), the triangle at the centre of each pixel.

    Each triangle is split into one span per row. Edges are always evaluated from their upper end, so that
    adjacent triangles agree on the boundary to the last bit.
    """
    width, height = mesh.size[0] * scale, mesh.size[1] * scale
    corners = mesh.points[mesh.triangles] * scale  # (T, 3, 2)
    order = np.lexsort((corners[..., 0], corners[..., 1]), axis=1)
    top, middle, bottom = np.moveaxis(np.take_along_axis(corners, order[..., None], 1), 1, 0)
    first = np.ceil(top[:, 1] - 0.5).astype(np.int64)
    rows = np.ceil(bottom[:, 1] - 0.5).astype(np.int64) - first
    triangle = np.repeat(np.arange(len(rows), dtype=np.int32), rows)
    row = np.arange(len(triangle)) + np.repeat(first - (np.cumsum(rows) - rows), rows)

    top, middle, bottom = top[triangle], middle[triangle], bottom[triangle]
    y = row + 0.5
    upper = (y < middle[:, 1])[:, None]
    one = _cross(top, bottom, y)
    other = _cross(np.where(upper, top, middle), np.where(upper, middle, bottom), y)
    begin = np.ceil(np.minimum(one, other) - 0.5).astype(np.int64)
    end = np.ceil(np.maximum(one, other) - 0.5).astype(np.int64)
    full = begin < end
    starts, triangle = (row * width + begin)[full], triangle[full]
    order = np.argsort(starts)
    lengths = np.diff(starts[order], append=width * height)
    return np.repeat(triangle[order], lengths).reshape(height, width)


def _cross(start: np.ndarray, end: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The x (N,) at which the edges from start to end, (N, 2), cross the rows y (N,)."""
    return start[:, 0] + (y - start[:, 1]) * ((end[:, 0] - start[:, 0]) / (end[:, 1] - start[:, 1]))


def _check_colors(mesh: Mesh, colors: np.ndarray) -> None:
    if colors.dtype != np.uint8 or colors.shape != (len(mesh.triangles), 3):
        raise ValueError(
            f"colours are {colors.dtype} {colors.shape}, expected uint8 {(len(mesh.triangles), 3)}"
        )
