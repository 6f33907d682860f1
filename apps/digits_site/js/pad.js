/** The drawing canvas: mouse, pen and touch to strokes, and the picture it shows. */

import { SIDE } from "./drawing.js";
import { COLOURS, surface } from "./pictures.js";

/**
 * Wire the canvas. `begin(point, penEraser)` is called with a stroke’s first point, `extend(point)` with
 * the others ([x, y], each 0..1 inside the canvas), `end()` when it is done.
 */
export function listen(canvas, { begin, extend, end }) {
  let pointer = null; // a second finger must not jump into the first one's stroke
  const point = (event) => {
    const box = canvas.getBoundingClientRect();
    return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
  };
  canvas.addEventListener("pointerdown", (event) => {
    const penEraser = event.buttons === 32;
    if (pointer !== null || (event.button !== 0 && !penEraser)) return;
    event.preventDefault();
    pointer = event.pointerId;
    canvas.setPointerCapture(pointer);
    begin(point(event), penEraser);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (event.pointerId !== pointer) return;
    const events = event.getCoalescedEvents?.() ?? [];
    for (const part of events.length ? events : [event]) extend(point(part));
  });
  for (const name of ["pointerup", "pointercancel", "lostpointercapture"]) {
    canvas.addEventListener(name, (event) => {
      if (event.pointerId !== pointer) return;
      pointer = null;
      end();
    });
  }
}

/** Show the ink of a drawing (SIDE x SIDE values in 0..1). */
export function showInk(canvas, ink) {
  const { pixels, show } = surface(canvas, SIDE, SIDE);
  for (let i = 0; i < pixels.length; i++) pixels[i] = COLOURS.ink[(ink[i] * 255) | 0];
  show();
}

/** Show a 28 x 28 picture (0..255) in its coarse pixels. */
export function showPicture(canvas, picture) {
  const { pixels, show } = surface(canvas, SIDE, SIDE);
  for (let i = 0; i < pixels.length; i++) {
    const [x, y] = [i % SIDE, (i / SIDE) | 0];
    pixels[i] = COLOURS.ink[picture[((y / 10) | 0) * 28 + ((x / 10) | 0)] | 0];
  }
  show();
}
