"""Fills a hole with patches of the same picture: texture goes on, edges run through.

From coarse to fine: each patch that touches the hole looks for its most similar patch among the known ones
(PatchMatch: neighbours hand on what they found, then random search), and each pixel of the hole becomes the
mean of what the patches over it found.

Source: Wexler et al. 2007, "Space-Time Completion of Video"; Barnes et al. 2009, "PatchMatch".
"""

from collections.abc import Generator

import cv2
import numpy as np

RADIUS = 3  # of a patch: 7 x 7 pixels
ROUGHNESS = 3.0  # weight of a grey level of mean slope against one of colour
COARSEST = 32  # shorter side of the smallest picture of the pyramid,


def fill(
    rgb: np.ndarray, hole: np.ndarray, seed: int = 0, most: int = 40_000
) -> Generator[np.ndarray, None, np.ndarray]:
    """Yield the picture after each level of the pyramid, at that level's size, and return it filled.

    Args:
        rgb: uint8 (H, W, 3); what it holds in the hole does not matter.
        hole: bool (H, W).
        most: pixels of the hole up to which it is matched at full size. A larger one is matched smaller, and
            the pixels that were found are copied at full size.

    Raises:
        ValueError: nowhere in the picture is there a whole known patch to copy.
    """
    rng = np.random.default_rng(seed)
    features, search, picture = _features(rgb, hole), None, None
    sizes = _pyramid(hole, most)
    for number, (height, width) in enumerate(sizes):
        known, gap = _shrink(features, hole, height, width)
        search = _Search(gap, search, rng)
        if picture is None:
            picture = search.peel(known)
        else:
            picture = np.where(gap[..., None], cv2.resize(picture, (width, height)), known)
            picture = search.vote(picture, search.costs(picture))
        for turn in reversed(range(max(2, 8 - 2 * number))):
            cost = search.improve(picture)
            picture = search.vote(picture, cost, sharp=turn == 0)
        yield _pixels(picture)
    assert picture is not None and search is not None
    if picture.shape[:2] == hole.shape:
        return np.where(hole[..., None], _pixels(picture), rgb)
    return _enlarge(rgb, hole, search, _pixels(picture))


def _enlarge(rgb: np.ndarray, hole: np.ndarray, search: "_Search", small: np.ndarray) -> np.ndarray:
    """The hole at full size: each pixel from where the four small patches around it found theirs."""
    result = cv2.resize(small, hole.shape[::-1], interpolation=cv2.INTER_LINEAR)
    scale = np.array(hole.shape) / search.gap.shape
    index = _nearest(search.number)
    offset = (search.match - search.targets) * scale
    for pixels in np.array_split(np.argwhere(hole), max(1, int(hole.sum()) // 200_000)):
        place = (pixels + 0.5) / scale - 0.5
        corner = np.floor(place).astype(int)
        total, colors = np.full((len(pixels), 1), 1e-6), result[tuple(pixels.T)] * 1e-6
        for step in ((0, 0), (0, 1), (1, 0), (1, 1)):
            near = np.abs(place - corner - step)
            share = (1 - near).prod(1)
            at = np.clip(corner + step, 0, np.array(search.gap.shape) - 1)
            source = pixels + offset[index[tuple(at.T)]].round().astype(int)
            source = np.clip(source, 0, np.array(hole.shape) - 1)
            weight = (share * ~hole[tuple(source.T)])[:, None]
            colors += rgb[tuple(source.T)] * weight
            total += weight
        result[tuple(pixels.T)] = (colors / total).round().astype(np.uint8)
    return np.where(hole[..., None], result, rgb)


def _features(rgb: np.ndarray, hole: np.ndarray) -> np.ndarray:
    """float32 (H, W, 4): the colours, and how rough the picture is around.

    Without the roughness smooth patches win: they are never far from a first guess, which is smooth.
    Source: Newson et al. 2014, "Video Inpainting of Complex Scenes".
    """
    grey = rgb.mean(axis=2, dtype=np.float32)
    slopes = np.abs(np.gradient(grey, axis=0)) + np.abs(np.gradient(grey, axis=1))
    usable = (~cv2.dilate(hole.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool)).astype(np.float32)
    rough = cv2.blur(slopes * usable, (15, 15)) / np.maximum(cv2.blur(usable, (15, 15)), 1e-6)
    return np.dstack([rgb, ROUGHNESS * rough]).astype(np.float32)


def _pixels(picture: np.ndarray) -> np.ndarray:
    return picture[..., :3].round().clip(0, 255).astype(np.uint8)


def _pyramid(hole: np.ndarray, most: int) -> list[tuple[int, int]]:
    """Sizes (H, W) from the coarsest, where the hole is a patch wide, to the finest that is matched."""
    deepest = float(cv2.distanceTransform(np.pad(hole, 1).astype(np.uint8), cv2.DIST_L2, 5).max())
    smallest = min(hole.shape)
    scale = min(1.0, (most / hole.sum()) ** 0.5)
    sizes = [(round(hole.shape[0] * scale), round(hole.shape[1] * scale))]
    while deepest * scale > RADIUS and smallest * scale * 0.6 >= COARSEST:
        scale *= 0.6
        sizes.append((round(hole.shape[0] * scale), round(hole.shape[1] * scale)))
    return sizes[::-1]


def _shrink(features: np.ndarray, hole: np.ndarray, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Known pixels and hole at a smaller size; what the hole touches is hole."""
    if (height, width) == hole.shape:
        return features, hole
    known = (~hole).astype(np.float32)[..., None]
    small = cv2.resize(features * known, (width, height), interpolation=cv2.INTER_AREA)
    weight = cv2.resize(known, (width, height), interpolation=cv2.INTER_AREA)
    return small / np.maximum(weight, 1e-6)[..., None], weight < 0.5


class _Search:
    """Nearest patches of one level: `match` (T, 2) holds row and column of each target's source patch."""

    def __init__(self, gap: np.ndarray, coarse: "_Search | None", rng: np.random.Generator) -> None:
        self.rng, self.gap, (height, width) = rng, gap, gap.shape
        inner = np.zeros_like(gap)
        inner[RADIUS : height - RADIUS, RADIUS : width - RADIUS] = True
        touching = cv2.dilate(gap.astype(np.uint8), np.ones((2 * RADIUS + 1,) * 2, np.uint8)).astype(bool)
        self.source = inner & ~touching
        self.targets = np.argwhere(inner & touching)
        if not self.source.any():
            raise ValueError("too little of the picture is known to continue its texture")
        self.number = np.full(gap.shape, -1)
        self.number[tuple(self.targets.T)] = np.arange(len(self.targets))
        step = np.arange(-RADIUS, RADIUS + 1)
        self.offsets = (step[:, None] * width + step).ravel()
        away = cv2.distanceTransform(np.pad(gap, 1).astype(np.uint8), cv2.DIST_L2, 5)[1:-1, 1:-1]
        self.trust = (1.25 ** -away[tuple(self.targets.T)]).astype(np.float32)
        sources = np.argwhere(self.source)
        self.match = sources[rng.integers(len(sources), size=len(self.targets))]
        if coarse is not None:
            self._inherit(coarse)

    def _inherit(self, coarse: "_Search") -> None:
        """Begin where the coarser level ended: the same offsets, scaled."""
        scale = np.array(self.gap.shape) / coarse.gap.shape
        at = ((self.targets + 0.5) / scale).astype(int)
        at = np.clip(at, 0, np.array(coarse.gap.shape) - 1)
        numbers = _nearest(coarse.number)[tuple(at.T)]
        moved = self.targets + ((coarse.match[numbers] - coarse.targets[numbers]) * scale).round().astype(int)
        moved = np.clip(moved, 0, np.array(self.gap.shape) - 1)
        valid = self.source[tuple(moved.T)]
        self.match[valid] = moved[valid]

    def peel(self, known: np.ndarray) -> np.ndarray:
        """A first guess from the rim inwards: matched by the pixels known so far, two rings a turn."""
        picture, open_ = known.copy(), self.gap.copy()
        while open_.any():
            weight = (~open_).astype(np.float32)
            cost = self.improve(picture, weight=weight)
            ring = open_ & cv2.dilate((~open_).astype(np.uint8), np.ones((5, 5), np.uint8)).astype(bool)
            ring = ring if ring.any() else open_
            voted = self.vote(picture, cost)
            picture[ring] = voted[ring]
            open_ = open_ & ~ring
        return picture

    def costs(self, picture: np.ndarray) -> np.ndarray:
        """Mean squared difference of each target patch to its match, (T,)."""
        flat = picture.reshape(-1, picture.shape[2])
        return self._costs(self._patches(flat, self.targets), flat, self.match, None)

    def improve(self, picture: np.ndarray, rounds: int = 4, weight: np.ndarray | None = None) -> np.ndarray:
        """Better matches by propagation from neighbours and random search; their costs (T,)."""
        flat = picture.reshape(-1, picture.shape[2])
        mine = self._patches(flat, self.targets)
        share = None
        if weight is not None:
            share = weight.ravel()[self._flat(self.targets)[:, None] + self.offsets]
            share /= np.maximum(share.sum(1, keepdims=True), 1e-6)
        cost = self._costs(mine, flat, self.match, share)

        def offer(candidate: np.ndarray) -> None:
            candidate = np.clip(candidate, 0, np.array(self.gap.shape) - 1)
            who = np.flatnonzero(self.source[tuple(candidate.T)] & (candidate != self.match).any(1))
            found = self._costs(mine[who], flat, candidate[who], None if share is None else share[who])
            better = found < cost[who]
            self.match[who[better]] = candidate[who[better]]
            cost[who[better]] = found[better]

        for number in range(rounds):
            reach = 2 ** max(0, rounds - 2 - number)
            for step in ((0, reach), (reach, 0), (0, -reach), (-reach, 0)):
                beside = self.targets + step
                inside = np.all((beside >= 0) & (beside < self.gap.shape), axis=1)
                neighbour = np.where(inside, self.number[tuple((beside * inside[:, None]).T)], -1)
                offer(np.where((neighbour >= 0)[:, None], self.match[neighbour] - step, self.match))
            radius = max(self.gap.shape)
            while radius >= 1:
                offer(self.match + self.rng.integers(-radius, radius + 1, self.match.shape))
                radius //= 4
        return cost

    def vote(self, picture: np.ndarray, cost: np.ndarray, sharp: bool = False) -> np.ndarray:
        """The hole anew: each pixel the mean of what the matches over it hold, the better ones count more.

        `sharp` lets the best of them win, for a mean of different textures is none.
        """
        flat, (height, width) = picture.reshape(-1, picture.shape[2]), self.gap.shape
        pixels = np.argwhere(self.gap)
        spread = float(np.percentile(cost, 75)) + 1.0
        weight = np.exp(-cost / spread * (12 if sharp else 1)) * self.trust + 1e-12
        total = np.zeros((len(pixels), 1), np.float32)
        colors = np.zeros((len(pixels), flat.shape[1]), np.float32)
        for row in range(-RADIUS, RADIUS + 1):
            for column in range(-RADIUS, RADIUS + 1):
                center = pixels - (row, column)
                inside = np.all((center >= 0) & (center < (height, width)), axis=1)
                number = np.where(inside, self.number[tuple((center * inside[:, None]).T)], -1)
                share = (weight[number] * (number >= 0))[:, None]
                colors += flat[self._flat(self.match[number]) + row * width + column] * share
                total += share
        result = picture.copy()
        result[self.gap] = colors / total
        return result

    def _costs(
        self, mine: np.ndarray, flat: np.ndarray, candidate: np.ndarray, share: np.ndarray | None
    ) -> np.ndarray:
        gap = mine - self._patches(flat, candidate)
        if share is None:
            return np.einsum("tpc,tpc->t", gap, gap) / len(self.offsets)
        return np.einsum("tpc,tpc,tp->t", gap, gap, share)

    def _patches(self, flat: np.ndarray, centers: np.ndarray) -> np.ndarray:
        return flat[self._flat(centers)[:, None] + self.offsets]  # (T, 49, C)

    def _flat(self, at: np.ndarray) -> np.ndarray:
        return at[:, 0] * self.gap.shape[1] + at[:, 1]


def _nearest(number: np.ndarray) -> np.ndarray:
    """Of each pixel (H, W) the number of the target nearest to it; `number` is -1 where there is none."""
    from scipy.ndimage import distance_transform_edt

    rows, columns = np.asarray(
        distance_transform_edt(number < 0, return_distances=False, return_indices=True)
    )
    return number[rows, columns]
