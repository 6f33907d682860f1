import assert from "node:assert/strict";
import test from "node:test";

import { SIDE, asDrawn, drawing, normalised, pack, unpack } from "../../apps/digits_site/js/drawing.js";
import { fromHash, toHash } from "../../apps/digits_site/js/link.js";

/** A drawing of the polyline through `points` (0..1), shrunk by `scale` and moved by (dx, dy). */
function draw(points, { size = 26, scale = 1, dx = 0, dy = 0 } = {}) {
  const sketch = drawing();
  const moved = points.map(([x, y]) => [x * scale + dx, y * scale + dy]);
  sketch.begin(size, false, ...moved[0]);
  for (let i = 1; i < moved.length; i++) {
    for (let t = 1; t <= 20; t++) sketch.extend(...[0, 1].map((k) => moved[i - 1][k] + (t / 20) * (moved[i][k] - moved[i - 1][k])));
  }
  return sketch;
}

const SEVEN = [[0.3, 0.2], [0.7, 0.2], [0.45, 0.8]];

function inkBox(picture, floor = 20) {
  const at = [...picture.keys()].filter((i) => picture[i] > floor);
  const [xs, ys] = [at.map((i) => i % 28), at.map((i) => Math.floor(i / 28))];
  return { width: Math.max(...xs) - Math.min(...xs) + 1, height: Math.max(...ys) - Math.min(...ys) + 1 };
}

function centre(picture) {
  let [mass, x, y] = [0, 0, 0];
  picture.forEach((value, i) => {
    mass += value;
    x += value * (i % 28);
    y += value * Math.floor(i / 28);
  });
  return [x / mass, y / mass];
}

test("a normalised drawing is 20 pixels tall with its centre of mass at pixel (14, 14)", () => {
  const picture = normalised(draw([[0.5, 0.15], [0.3, 0.5], [0.5, 0.85], [0.7, 0.5], [0.5, 0.15]]).ink);
  const { width, height } = inkBox(picture);
  assert.ok(height >= 19 && height <= 21, `${height} tall`);
  assert.ok(width >= 10 && width < 16, "its shape is kept");
  for (const value of centre(picture)) assert.ok(Math.abs(value - 14) < 0.15, `centre of mass at ${value}`);
  assert.ok(Math.max(...picture) <= 255 && Math.max(...picture) > 240);
  assert.ok(picture.some((value) => value > 20 && value < 200), "its edges are soft");
});

test("where and how large one draws does not matter, after normalisation", () => {
  const reference = normalised(draw(SEVEN).ink);
  for (const change of [{ dx: -0.2, dy: 0.1 }, { scale: 0.5, size: 13 }, { scale: 0.5, size: 13, dx: 0.45, dy: 0.02 }]) {
    const other = normalised(draw(SEVEN, change).ink);
    const apart = reference.reduce((sum, value, i) => sum + Math.abs(value - other[i]), 0) / 784;
    assert.ok(apart < 4, `mean difference ${apart} of 255 for ${JSON.stringify(change)}`);
  }
  const small = asDrawn(draw(SEVEN, { scale: 0.5, size: 13 }).ink);
  assert.ok(inkBox(small).height < 12, "as drawn, it stays small");
});

test("centring never pushes ink off the picture", () => {
  const { ink } = draw([[0.2, 0.1], [0.8, 0.1], [0.2, 0.11], [0.8, 0.12], [0.5, 0.12], [0.5, 0.9]], { size: 16 }); // heavy at the top
  const rows = [...ink.keys()].filter((i) => ink[i] > 0.1).map((i) => Math.floor(i / SIDE));
  const cell = (Math.max(...rows) - Math.min(...rows) + 1) / 20;
  const picture = normalised(ink);
  assert.ok(centre(picture)[1] < 13.5, "there was something to push: the mass cannot reach the middle");
  const kept = (picture.reduce((a, b) => a + b) / 255) * cell ** 2 / ink.reduce((a, b) => a + b);
  assert.ok(Math.abs(kept - 1) < 0.01, `${kept} of the ink is left`);
});

test("drawn as it is, each pixel is the mean of its ten by ten cells", () => {
  const sketch = draw(SEVEN);
  const picture = asDrawn(sketch.ink);
  for (const [y, x] of [[5, 10], [6, 18], [12, 16], [20, 13], [0, 0]]) {
    let sum = 0;
    for (let v = 0; v < 10; v++) for (let u = 0; u < 10; u++) sum += sketch.ink[(y * 10 + v) * SIDE + x * 10 + u];
    assert.ok(Math.abs(picture[y * 28 + x] - 2.55 * sum) < 0.01);
  }
});

test("no ink, no picture; erased ink is no ink", () => {
  const sketch = drawing();
  assert.equal(normalised(sketch.ink), null);
  sketch.begin(30, false, 0.5, 0.5);
  assert.ok(normalised(sketch.ink), "a dot is a drawing");
  sketch.begin(60, true, 0.5, 0.5);
  assert.equal(normalised(sketch.ink), null);
});

test("undo and redo walk through strokes and clearing", () => {
  const sketch = draw(SEVEN);
  const one = sketch.ink.slice();
  sketch.begin(26, false, 0.2, 0.9);
  const two = sketch.ink.slice();
  assert.notDeepEqual(one, two);
  sketch.clear();
  assert.ok(sketch.ink.every((value) => value === 0));
  sketch.undo();
  assert.deepEqual(sketch.ink, two);
  sketch.undo();
  assert.deepEqual(sketch.ink, one);
  sketch.redo();
  assert.deepEqual(sketch.ink, two);
  sketch.begin(26, false, 0.1, 0.1);
  assert.equal(sketch.canRedo, false, "a new stroke ends what could be redone");
  for (let i = 0; i < 5; i++) sketch.undo();
  assert.ok(sketch.ink.every((value) => value === 0));
});

test("a stroke that was undone or cleared while it is drawn is over, and harms no other", () => {
  const sketch = drawing();
  for (const end of ["undo", "clear"]) {
    sketch.load(draw(SEVEN).visible());
    const before = sketch.ink.slice();
    sketch.begin(26, false, 0.1, 0.9);
    sketch[end]();
    const after = sketch.ink.slice();
    sketch.extend(0.9, 0.9);
    assert.deepEqual(sketch.ink, after);
    if (end === "undo") assert.deepEqual(after, before);
    else assert.ok(after.every((value) => value === 0));
  }
  sketch.load([]);
  sketch.begin(26, false, 0.1, 0.9);
  sketch.undo();
  sketch.extend(0.9, 0.9);
  assert.ok(sketch.ink.every((value) => value === 0));
});

test("a link restores the very same ink", () => {
  const sketch = draw(SEVEN);
  sketch.begin(40, true, 0.5, 0.5);
  for (let i = 0; i < 900; i++) sketch.extend(0.5 + 0.4 * Math.cos(i / 3), 0.5 + 0.4 * Math.sin(i / 3)); // more points than a byte counts
  const other = drawing();
  other.load(unpack(pack(sketch.visible())));
  assert.deepEqual(other.ink, sketch.ink);
  assert.ok(pack(draw(SEVEN).visible()).length < 300, "a digit stays a short link");
});

test("a link with nonsense in it is an empty drawing", () => {
  for (const text of ["", "%%%", "AAAA", "GgU", "GoAA", "🙂"]) assert.deepEqual(unpack(text), []);
  assert.equal(pack([{ size: 20, erase: false, points: Array(21_000).fill(1) }]), "", "too long for a link: left out");
});

test("the state survives its way through the address", () => {
  const strokes = draw(SEVEN).visible();
  const packed = unpack(pack(strokes));
  for (const state of [
    { epoch: 3, compare: 20, centred: false, source: { kind: "sample", digit: 7, n: 2 } },
    { epoch: 0, compare: null, centred: true, source: { kind: "misread", n: 11 } },
    { epoch: 0.05, compare: 0.000123, centred: true, source: { kind: "draw" } },
    { epoch: 20, compare: 1, centred: true, source: { kind: "draw" } },
  ]) {
    const back = fromHash(toHash(state, strokes));
    assert.deepEqual({ compare: null, centred: true, ...back }, { ...state, strokes: packed });
  }
  assert.deepEqual(fromHash("#e=-1&s=77.1&m=x&vs=1e9"), {});
  assert.deepEqual(fromHash("#e=.5&vs=1.2.3"), {});
  assert.deepEqual(fromHash(""), {});
});
