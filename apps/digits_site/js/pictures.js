/** Turning arrays of numbers into small pictures on canvases. */

/** Build an element; `props` are properties or, where there is none, attributes. Text goes in as text, never as HTML. */
export function element(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(props)) key in node ? node[key] = value : node.setAttribute(key, value);
  node.append(...children);
  return node;
}

/** 256 canvas colours running evenly through `stops` ([r, g, b] each). */
function ramp(stops) {
  return Uint32Array.from({ length: 256 }, (_, i) => {
    const at = (i / 255) * (stops.length - 1);
    const k = Math.min(stops.length - 2, Math.floor(at));
    const [r, g, b] = stops[k].map((value, c) => Math.round(value + (at - k) * (stops[k + 1][c] - value)));
    return (255 << 24) | (b << 16) | (g << 8) | r;
  });
}


/** Colour scales: ink (grey), activation (0 to most), light and dark
 * (for signed values: blue below zero, the page's own colour at zero, orange above). */
export const COLOURS = {
  ink: ramp([[16, 20, 30], [255, 255, 255]]),
  activation: ramp([[16, 20, 30], [28, 58, 108], [34, 122, 148], [120, 194, 150], [252, 246, 196]]),
  light: ramp([[22, 54, 128], [58, 110, 200], [150, 186, 232], [247, 246, 242], [240, 178, 126], [214, 104, 32], [132, 52, 6]]),
  dark: ramp([[168, 202, 250], [78, 134, 226], [42, 68, 120], [34, 40, 51], [112, 68, 36], [230, 124, 48], [250, 206, 164]]),
};

const buffers = new WeakMap();

/** The canvas's pixels as one Uint32 each, at the size given; call the returned `show` after filling `pixels`. */
export function surface(canvas, width, height) {
  let buffer = buffers.get(canvas);
  if (!buffer || buffer.image.width !== width || buffer.image.height !== height) {
    canvas.width = width;
    canvas.height = height;
    const image = new ImageData(width, height);
    const context = canvas.getContext("2d");
    buffer = { image, pixels: new Uint32Array(image.data.buffer), show: () => context.putImageData(image, 0, 0) };
    buffers.set(canvas, buffer);
  }
  return buffer;
}

/** Paint `height` x `width` values from `offset` on, `low`..`high` running through the colours. */
export function paint(canvas, values, { width, height, offset = 0, colours, low = 0, high }) {
  const { pixels, show } = surface(canvas, width, height);
  const factor = high > low ? 255 / (high - low) : 0;
  for (let i = 0; i < pixels.length; i++) {
    const at = (values[offset + i] - low) * factor;
    pixels[i] = colours[at < 0 ? 0 : at > 255 ? 255 : Math.round(at)];
  }
  show();
}

/** Paint `count` pictures of `height` x `width` values side by side, `columns` in a row, one clear pixel apart. */
export function mosaic(canvas, values, { count, width, height, columns, colours, low = 0, high }) {
  const across = columns * (width + 1) - 1;
  const { pixels, show } = surface(canvas, across, Math.ceil(count / columns) * (height + 1) - 1);
  const factor = high > low ? 255 / (high - low) : 0;
  for (let n = 0, i = 0; n < count; n++) {
    const start = Math.floor(n / columns) * (height + 1) * across + (n % columns) * (width + 1);
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++, i++) {
        const at = (values[i] - low) * factor;
        pixels[start + y * across + x] = colours[at < 0 ? 0 : at > 255 ? 255 : Math.round(at)];
      }
    }
  }
  show();
}

/** A canvas for pixel pictures, hidden from assistive technology: its group has the label. */
export function pixelCanvas(className = "") {
  return element("canvas", { className: `pixels ${className}`, width: 1, height: 1, "aria-hidden": "true" });
}
