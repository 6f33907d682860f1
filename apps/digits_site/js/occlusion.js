/** How much the present answer suffers where a grey patch hides the picture; worked out a row at a time while the page is idle. */

import { argmax, occlude } from "./network.js";
import { element, pixelCanvas, surface } from "./pictures.js";
import { percent } from "./words.js";

const FALLS = [224, 112, 32];
const RISES = [64, 120, 214];

export function occlusion(panel) {
  const body = panel.querySelector("[data-body]");
  const canvas = pixelCanvas();
  const text = element("p", { className: "readout" });
  const size = element("select", {}, ...[3, 5, 7, 9].map((side) => element("option", { value: side, selected: side === 7 }, `${side} × ${side}`)));
  let job = 0; // the number of the newest computation; older ones stop
  let state = null;
  let shown = null;

  const picture = (pixels, drop) => {
    const { pixels: target, show } = surface(canvas, 28, 28);
    for (let i = 0; i < 784; i++) {
      const grey = 16 + 0.75 * pixels[i];
      const share = Math.min(1, Math.abs(drop[i])) ** 0.5 * 0.9;
      const [r, g, b] = (drop[i] > 0 ? FALLS : RISES).map((tint) => Math.round(grey + share * (tint - grey)));
      target[i] = (255 << 24) | (b << 16) | (g << 8) | r;
    }
    show();
  };

  const summary = () => {
    const { drop, before, digit } = state;
    const worst = argmax(drop);
    text.textContent = drop[worst] < 0.01
      ? `No single patch matters: the answer ${digit} stays at ${percent(before)} wherever we hide.`
      : `Hiding row ${(worst / 28 | 0) + 1}, column ${(worst % 28) + 1} hurts most: ${digit} falls from ${percent(before)} to ${percent(before - drop[worst])}.`;
  };

  canvas.addEventListener("pointermove", (event) => {
    if (!state) return;
    const box = canvas.getBoundingClientRect();
    const [x, y] = [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height].map((at) => Math.max(0, Math.min(27, Math.floor(at * 28))));
    text.textContent = `Grey at row ${y + 1}, column ${x + 1}: ${state.digit} goes from ${percent(state.before)} to ${percent(state.before - state.drop[y * 28 + x])}.`;
  });
  canvas.addEventListener("pointerleave", () => state && summary());

  const update = (view) => {
    const { data, index, pixels, out } = shown = view;
    const mine = ++job;
    state = null;
    if (!pixels) {
      picture(new Float32Array(784), new Float32Array(784));
      text.textContent = "Draw something first.";
      return;
    }
    const [digit, before, copy] = [argmax(out.probabilities), Math.max(...out.probabilities), Float32Array.from(pixels)];
    const rows = occlude(data.epochs[index].weights, copy, data.norm, digit, Number(size.value));
    const slice = () => {
      if (mine !== job) return;
      const until = performance.now() + 6; // leave the rest of a 16 ms frame to drawing and scrolling
      let step;
      do step = rows.next(); while (!step.done && performance.now() < until);
      if (!step.done) return void setTimeout(slice);
      state = { drop: step.value, digit, before };
      picture(copy, step.value);
      summary();
    };
    setTimeout(slice, 120);
  };

  return {
    build() {
      const label = element("label", { className: "line" }, "Patch ", size);
      body.replaceChildren(element("div", { role: "img", "aria-label": "Occlusion map of the present picture" }, canvas), element("div", {}, label, text));
      size.onchange = () => update(shown);
    },
    update,
  };
}
