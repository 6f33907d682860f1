/** Drawings of the page as JSON, one a line: the ink as it is shown (0..255) and what the page makes of it. */

import { SIDE, drawing, normalised } from "../../apps/digits_site/js/drawing.js";

const LINES = {
  2: [[0.3, 0.35], [0.4, 0.22], [0.6, 0.22], [0.68, 0.38], [0.32, 0.78], [0.72, 0.78]],
  4: [[0.6, 0.8], [0.6, 0.2], [0.3, 0.6], [0.75, 0.6]],
  7: [[0.3, 0.2], [0.7, 0.2], [0.45, 0.8]],
};

for (const [digit, points] of Object.entries(LINES)) {
  for (const [size, scale, dx, dy] of [[26, 1, 0, 0], [12, 1, 0, 0], [40, 1, 0, 0], [20, 0.5, 0.35, 0.05]]) {
    const sketch = drawing();
    const at = points.map(([x, y]) => [x * scale + dx, y * scale + dy]);
    sketch.begin(size, false, ...at[0]);
    for (let i = 1; i < at.length; i++) {
      for (let t = 1; t <= 20; t++) sketch.extend(...[0, 1].map((k) => at[i - 1][k] + (t / 20) * (at[i][k] - at[i - 1][k])));
    }
    const ink = Array.from(sketch.ink, (value) => Math.floor(value * 255));
    console.log(JSON.stringify({ digit: Number(digit), side: SIDE, ink, normal: Array.from(normalised(sketch.ink)) }));
  }
}
