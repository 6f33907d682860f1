/** A drawing as strokes: painting it, undoing, centring it as MNIST does, packing it into a link. No DOM. */

/** Side of the painted drawing; ten of its pixels are one pixel of the network's 28 x 28 input. */
export const SIDE = 280;
const CELL = SIDE / 28;
const UNIT = SIDE / 255; // points are stored as bytes, so that a link restores exactly what was drawn
const MAX_PACKED = 20_000;

/** Strokes with undo and redo. A stroke is {size, erase, points: [x, y, x, y, ...]} in 0..255; `null` clears. */
export function drawing() {
  const done = [];
  const undone = [];
  let current = null; // the stroke under the pen
  const ink = new Float32Array(SIDE * SIDE); // 0 empty .. 1 full
  const repaint = () => {
    ink.fill(0);
    for (const stroke of visible()) paint(ink, stroke, 0);
  };
  const visible = () => done.slice(done.lastIndexOf(null) + 1);
  return {
    ink,
    visible,
    get canUndo() { return done.length > 0; },
    get canRedo() { return undone.length > 0; },
    begin(size, erase, x, y) {
      undone.length = 0;
      current = { size, erase, points: [byte(x), byte(y)] };
      done.push(current);
      paint(ink, current, 0);
    },
    /** Go on with the stroke to (x, y), each 0..1; one that was undone or cleared meanwhile is over. */
    extend(x, y) {
      if (current === null) return;
      const { points } = current;
      const [a, b] = [byte(x), byte(y)];
      if (Math.hypot(a - points.at(-2), b - points.at(-1)) < 3) return;
      points.push(a, b);
      paint(ink, current, points.length - 4);
    },
    clear() {
      if (visible().length === 0) return;
      current = null;
      undone.length = 0;
      done.push(null);
      repaint();
    },
    undo() {
      current = null;
      if (done.length) undone.push(done.pop());
      repaint();
    },
    redo() {
      if (undone.length) done.push(undone.pop());
      repaint();
    },
    /** Replace everything, history included. */
    load(strokes) {
      current = null;
      done.splice(0, Infinity, ...strokes);
      undone.length = 0;
      repaint();
    },
  };
}

const byte = (fraction) => Math.max(0, Math.min(255, Math.round(fraction * 255)));

/** Paint a stroke's segments from the point at index `from` on: full ink in the middle, soft towards the rim. */
function paint(ink, { size, erase, points }, from) {
  const radius = size / 2;
  for (let i = from; i === from || i + 3 < points.length; i += 2) {
    const [x0, y0] = [points[i] * UNIT, points[i + 1] * UNIT];
    const [x1, y1] = [(points[i + 2] ?? points[i]) * UNIT, (points[i + 3] ?? points[i + 1]) * UNIT];
    const [dx, dy] = [x1 - x0, y1 - y0];
    const length = dx * dx + dy * dy || 1;
    const [left, right] = span(Math.min(x0, x1) - radius, Math.max(x0, x1) + radius);
    const [top, bottom] = span(Math.min(y0, y1) - radius, Math.max(y0, y1) + radius);
    for (let y = top; y <= bottom; y++) {
      for (let x = left; x <= right; x++) {
        const [px, py] = [x + 0.5 - x0, y + 0.5 - y0];
        const along = Math.max(0, Math.min(1, (px * dx + py * dy) / length));
        const distance = Math.hypot(px - along * dx, py - along * dy) / radius;
        const alpha = Math.max(0, Math.min(1, (1 - distance) / 0.35));
        const at = y * SIDE + x;
        ink[at] = erase ? Math.min(ink[at], 1 - alpha) : Math.max(ink[at], alpha);
      }
    }
  }
}

function span(low, high) {
  return [Math.max(0, Math.floor(low)), Math.min(SIDE - 1, Math.ceil(high))];
}

/** The drawing as it is: (28, 28) in 0..255, each pixel the mean of its 10 x 10 patch of ink. */
export function asDrawn(ink) {
  return resample(ink, CELL, 0, 0);
}

/**
 * The drawing as MNIST prepares its digits: (28, 28) in 0..255, or null when there is no ink.
 *
 * The box around the ink is scaled, keeping its shape, so that its longer side measures 20 pixels; then its centre of mass
 * goes to the centre of pixel (14, 14), as in MNIST (over its test set the mean is 14.0), without pushing ink off the edge.
 */
export function normalised(ink) {
  let [left, top, right, bottom] = [SIDE, SIDE, -1, -1];
  let [mass, mx, my] = [0, 0, 0];
  for (let y = 0, i = 0; y < SIDE; y++) {
    for (let x = 0; x < SIDE; x++, i++) {
      const value = ink[i];
      if (value <= 0.1) continue;
      left = Math.min(left, x);
      right = Math.max(right, x);
      top = Math.min(top, y);
      bottom = Math.max(bottom, y);
      mass += value;
      mx += value * (x + 0.5);
      my += value * (y + 0.5);
    }
  }
  if (!mass) return null;
  const cell = Math.max(right - left + 1, bottom - top + 1) / 20;
  return resample(ink, cell, origin(mx / mass, left, right + 1, cell), origin(my / mass, top, bottom + 1, cell));
}

/** Where the 28-pixel field begins so that `centre` lands at 14.5 and the ink from `low` to `high` stays inside. */
function origin(centre, low, high, cell) {
  return Math.min(low, Math.max(high - 28 * cell, centre - 14.5 * cell));
}

/** Area means: pixel (x, y) of the 28 x 28 answer covers `cell` x `cell` of the ink, starting at (x0, y0). */
function resample(ink, cell, x0, y0) {
  const rows = new Float32Array(28 * SIDE); // first down the columns, then along the rows
  weigh(cell, y0, (to, from, share) => {
    for (let x = 0; x < SIDE; x++) rows[to * SIDE + x] += share * ink[from * SIDE + x];
  });
  const out = new Float32Array(784);
  weigh(cell, x0, (to, from, share) => {
    for (let y = 0; y < 28; y++) out[y * 28 + to] += share * rows[y * SIDE + from];
  });
  return out.map((value) => Math.min(255, value * 255));
}

/** Call `add(target pixel, source pixel, share)` for every overlap of the 28 cells with the ink's rows. */
function weigh(cell, start, add) {
  for (let to = 0; to < 28; to++) {
    const [low, high] = [start + to * cell, start + (to + 1) * cell];
    for (let from = Math.max(0, Math.floor(low)); from < Math.min(SIDE, high); from++) {
      const share = (Math.min(high, from + 1) - Math.max(low, from)) / cell;
      if (share > 0) add(to, from, share);
    }
  }
}

/** Strokes as URL-safe text (per stroke: eraser bit and brush size, number of points, points); "" when there are too many. */
export function pack(strokes) {
  const bytes = [];
  for (const { size, erase, points } of strokes) {
    for (let i = 0; i < points.length; i += 2 * 254) { // a long stroke goes on where it stopped
      const part = points.slice(i, i + 2 * 255);
      bytes.push((erase ? 128 : 0) | size, part.length / 2, ...part);
    }
  }
  if (bytes.length > MAX_PACKED) return "";
  return btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
}

/** The strokes of `pack`; text that is none gives no strokes. */
export function unpack(text) {
  let bytes;
  try {
    bytes = Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (character) => character.charCodeAt(0));
  } catch {
    return [];
  }
  const strokes = [];
  for (let i = 0; i < bytes.length;) {
    const [head, count] = [bytes[i], bytes[i + 1]];
    const points = bytes.slice(i + 2, i + 2 + 2 * count);
    if (!count || points.length !== 2 * count || !(head & 127)) return [];
    strokes.push({ size: head & 127, erase: head > 127, points });
    i += 2 + 2 * count;
  }
  return strokes;
}
