/** The architecture as the layout itself: input, filters, feature maps, hidden units, answers; pointing shows what a value sees. */

import { LAYERS, largest } from "./network.js";
import { COLOURS, element, mosaic, paint, pixelCanvas } from "./pictures.js";
import { percent } from "./words.js";

const STAGES = [
  ["conv1", "Convolution", "4 filters 3 × 3, ReLU", "conv1.weight"],
  ["pool1", "Max-pool", "largest of each 2 × 2", null],
  ["conv2", "Convolution", "8 filters 4 × 3 × 3, ReLU", "conv2.weight"],
  ["pool2", "Max-pool", "largest of each 2 × 2", null],
];

const REST = "Point at a map for its values, and for the part of the picture it depends on.";

export function inside(panel) {
  const flow = panel.querySelector("[data-flow]");
  const readout = panel.querySelector("[data-readout]");
  let view = null;
  let parts = {};

  const build = (first) => {
    view = first;
    const input = pixelCanvas("input-map");
    const box = element("span", { className: "field", hidden: true });
    parts = { input, box, maps: {}, kernels: {}, votes: [] };
    flow.replaceChildren(stage("input", "Input", "28 × 28 grey", "one picture", element("div", { className: "framed" }, input, box)));
    for (const [name, title, line, kernels] of STAGES) flow.append(mapStage(name, title, line, kernels));
    parts.fc1 = pixelCanvas("units");
    flow.append(stage("fc1", "Dense", "128 units", "each weighs all 200, ReLU", parts.fc1));
    parts.votes = Array.from({ length: 10 }, (_, digit) => element("span", {}, element("b", {}, String(digit)), element("i")));
    flow.append(stage("output", "Dense", "10 answers", "softmax: they add up to 100 %", element("div", { className: "votes" }, ...parts.votes)));
    inspectUnits();
    leave();
    const weightScale = (name) => Math.max(...first.data.epochs.map(({ weights }) => largest(weights[name])));
    parts.weightScale = { "conv1.weight": weightScale("conv1.weight"), "conv2.weight": weightScale("conv2.weight") };
  };

  const mapStage = (name, title, line, kernels) => {
    const { channels, size } = LAYERS[name];
    parts.maps[name] = [];
    parts.kernels[name] = [];
    const units = Array.from({ length: channels }, (_, channel) => {
      const map = pixelCanvas();
      parts.maps[name].push(map);
      inspect(map, name, channel);
      const unit = element("div", { className: "unit" });
      if (kernels) {
        const kernel = pixelCanvas("kernel");
        parts.kernels[name].push(kernel);
        unit.append(kernel);
      }
      unit.append(map);
      return unit;
    });
    const maps = element("div", { className: `maps ${name}` }, ...units);
    return stage(name, title, `${channels} × ${size} × ${size}`, line, maps);
  };

  const inspect = (map, name, channel) => {
    const { size, field, stride } = LAYERS[name];
    const point = (event) => {
      const bounds = map.getBoundingClientRect();
      const [x, y] = [event.clientX - bounds.left, event.clientY - bounds.top].map((at, i) =>
        Math.max(0, Math.min(size - 1, Math.floor((at / (i ? bounds.height : bounds.width)) * size))));
      Object.assign(parts.box.style, {
        left: `${(x * stride) / 0.28}%`, top: `${(y * stride) / 0.28}%`, width: `${field / 0.28}%`, height: `${field / 0.28}%`,
      });
      parts.box.hidden = false;
      const value = view.pixels ? `: ${view.out[name][(channel * size + y) * size + x].toFixed(2)}` : "";
      readout.textContent = `${name}, map ${channel + 1}, row ${y + 1}, column ${x + 1}${value}. It sees the ${field} × ${field} pixels framed in the input.`;
    };
    map.addEventListener("pointermove", point);
    map.addEventListener("pointerdown", point);
    map.addEventListener("pointerleave", leave);
  };

  const leave = () => {
    parts.box.hidden = true;
    readout.textContent = REST;
  };

  const inspectUnits = () => {
    const point = (event) => {
      const bounds = parts.fc1.getBoundingClientRect();
      const column = Math.min(7, Math.floor(((event.clientX - bounds.left) / bounds.width) * 8));
      const row = Math.min(15, Math.floor(((event.clientY - bounds.top) / bounds.height) * 16));
      const unit = row * 8 + column;
      readout.textContent = `Hidden unit ${unit + 1}${view.pixels ? `: ${view.out.fc1[unit].toFixed(2)}` : ""}. It sees the whole input.`;
    };
    parts.fc1.addEventListener("pointermove", point);
    parts.fc1.addEventListener("pointerdown", point);
    parts.fc1.addEventListener("pointerleave", leave);
  };

  const update = (next) => {
    view = next;
    const { data, index, out, pixels, scale, theme } = view;
    const values = (name) => (pixels ? out[name] : new Float32Array(out[name].length));
    paint(parts.input, pixels ?? new Float32Array(784), { width: 28, height: 28, colours: COLOURS.ink, high: 255 });
    for (const [name, , , kernels] of STAGES) {
      const { size } = LAYERS[name];
      parts.maps[name].forEach((map, channel) => paint(map, values(name), {
        width: size, height: size, offset: channel * size * size, colours: COLOURS.activation, high: scale[name],
      }));
      if (!kernels) continue;
      const weights = data.epochs[index].weights[kernels];
      const limit = parts.weightScale[kernels];
      const inputs = weights.length / parts.kernels[name].length / 9;
      parts.kernels[name].forEach((kernel, n) => mosaic(kernel, weights.subarray(n * inputs * 9, (n + 1) * inputs * 9), {
        count: inputs, width: 3, height: 3, columns: inputs > 1 ? 2 : 1, colours: COLOURS[theme], low: -limit, high: limit,
      }));
    }
    paint(parts.fc1, values("fc1"), { width: 8, height: 16, colours: COLOURS.activation, high: scale.fc1 });
    const best = pixels ? Math.max(...out.probabilities) : 2;
    parts.votes.forEach((vote, digit) => {
      vote.lastChild.style.transform = `scaleX(${pixels ? out.probabilities[digit] : 0})`;
      vote.classList.toggle("best", out.probabilities[digit] === best);
      vote.title = pixels ? percent(out.probabilities[digit]) : "";
    });
  };
  legend(panel.querySelector("[data-legend]"));
  return { build, update };
}

function stage(name, title, shape, line, body) {
  body.setAttribute("role", "img");
  body.setAttribute("aria-label", `${name}: ${shape}, ${line}`);
  return element("div", { className: `stage stage-${name}` },
    element("div", { className: "stage-head" }, element("h3", {}, title), element("p", { className: "shape" }, shape), element("p", { className: "what" }, line)),
    body);
}

function legend(root) {
  root.append(
    element("span", {}, element("i", { className: "scale-activation" }), "feature maps and units: 0 to the layer’s largest value of any epoch for this picture"),
    element("span", {}, element("i", { className: "scale-signed" }), "filters: negative, zero, positive, to the layer’s largest weight of any epoch"),
    element("span", { className: "muted" }, "The scales are the same in all epochs, so that colours can be compared."));
}
