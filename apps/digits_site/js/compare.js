/** Two epochs side by side, and how far the weights moved: in every epoch, and between the two. */

import { sparkBars } from "./charts.js";
import { LAYERS, MAPS, activations, argmax, forward, largest } from "./network.js";
import { COLOURS, element, mosaic, paint, pixelCanvas } from "./pictures.js";
import { bars } from "./answer.js";
import { moment, percent } from "./words.js";

function subtract(a, b) {
  const out = new Float32Array(a.length);
  for (let i = 0; i < a.length; i++) out[i] = a[i] - b[i];
  return out;
}

/** L2 norm of a - b. */
export function distance(a, b) {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += (a[i] - b[i]) ** 2;
  return Math.sqrt(sum);
}

export function compare(panel) {
  const body = panel.querySelector("[data-body]");
  const select = document.getElementById("other");
  const outB = activations();
  let parts;

  const build = ({ data }) => {
    select.replaceChildren(...data.epochs.map((record, i) => element("option", { value: i }, moment(record))));
    const side = (title) => {
      const [head, verdict, list] = [element("h3", {}, title), element("p", { className: "verdict-line" }), element("ol", { className: "bars small" })];
      return { node: element("div", { className: "side" }, head, verdict, list), head, verdict, show: bars(list) };
    };
    const [a, b] = [side("A"), side("B")];
    const rows = ["conv1.weight", "conv2.weight", ...MAPS, "fc1"].map((name) => {
      const canvases = [pixelCanvas(), pixelCanvas(), pixelCanvas()];
      const title = name.endsWith("weight") ? `${name.split(".")[0]} filters` : name === "fc1" ? "128 units" : `${name} maps`;
      const cells = canvases.map((canvas, i) => element("div", { role: "img", "aria-label": `${title}, ${["A", "B", "A minus B"][i]}` }, canvas));
      return { name, canvases, row: element("div", { className: `row ${name.replace(".", "-")}` }, element("h4", {}, title), ...cells) };
    });
    const heads = ["A", "B", "A − B"].map((text) => element("b", {}, text));
    const table = element("div", { className: "side-by-side" }, element("div", { className: "row head" }, element("span"), ...heads), ...rows.map(({ row }) => row));
    const note = element("p", { className: "line" }, "A and B share their colours. In A − B, orange is more in A, blue is less, each row to its own largest difference.");
    body.replaceChildren(a.node, b.node, element("div", {}, table, note));
    parts = { a, b, rows };
  };

  const update = ({ data, index, other, pixels, out, theme }) => {
    const [A, B] = [data.epochs[index], data.epochs[other]];
    if (pixels) forward(B.weights, pixels, data.norm, outB);
    select.value = other;
    for (const [side, letter, record, result] of [[parts.a, "A", A, out], [parts.b, "B", B, outB]]) {
      side.head.textContent = `${letter}: ${moment(record)}`;
      const best = argmax(result.probabilities);
      side.verdict.textContent = pixels ? `reads ${best}, ${percent(result.probabilities[best])}` : "Draw something";
      side.show(pixels ? result.probabilities : null);
    }
    for (const { name, canvases } of parts.rows) {
      const weights = name.endsWith("weight");
      const blank = new Float32Array(weights ? 0 : out[name].length);
      const [a, b] = weights ? [A.weights[name], B.weights[name]] : pixels ? [out[name], outB[name]] : [blank, blank];
      const difference = subtract(a, b);
      const top = Math.max(largest(a), largest(b)) || 1;
      const swing = largest(difference) || 1;
      const layout = name === "fc1" ? { count: 1, width: 32, height: 4, columns: 1 }
        : name === "conv2.weight" ? { count: 32, width: 3, height: 3, columns: 8 }
        : weights ? { count: 4, width: 3, height: 3, columns: 4 }
        : { count: LAYERS[name].channels, width: LAYERS[name].size, height: LAYERS[name].size, columns: 4 };
      const plain = weights ? { colours: COLOURS[theme], low: -top, high: top } : { colours: COLOURS.activation, high: top };
      mosaic(canvases[0], a, { ...layout, ...plain });
      mosaic(canvases[1], b, { ...layout, ...plain });
      mosaic(canvases[2], difference, { ...layout, colours: COLOURS[theme], low: -swing, high: swing });
    }
  };
  return { build, update };
}

const LAYER_WEIGHTS = [
  ["conv1.weight", "Convolution 1", "36 weights", { count: 4, width: 3, height: 3, columns: 4 }],
  ["conv2.weight", "Convolution 2", "288 weights", { count: 32, width: 3, height: 3, columns: 8 }],
  ["fc1.weight", "Dense, 128 units", "25,600 weights: one row a unit", null],
  ["fc2.weight", "Dense, 10 answers", "1,280 weights: one row a digit", null],
];

export function weightChange(panel, go) {
  const body = panel.querySelector("[data-body]");
  let rows = [];

  const build = ({ data }) => {
    rows = LAYER_WEIGHTS.map(([name, title, size, layout]) => {
      const moved = data.epochs.map(({ weights }, i) => (i ? distance(weights[name], data.epochs[i - 1].weights[name]) : 0));
      const [chart, value, canvas] = [element("div", { className: "chart" }), element("p", { className: "value" }), pixelCanvas()];
      const picture = element("div", { className: `picture ${name.replace(".", "-")}`, role: "img", "aria-label": `Difference of the weights of ${title} between A and B` }, canvas);
      return { name, title, moved, chart, value, canvas, layout, node: element("div", { className: "move" },
        element("div", {}, element("h3", {}, title), element("p", { className: "muted" }, size)), chart, value, picture) };
    });
    body.replaceChildren(...rows.map(({ node }) => node));
    for (const row of rows) row.mark = sparkBars(row.chart, { values: row.moved, label: `${row.title}: L2 change at each step`, onPick: go });
  };

  const update = ({ data, index, other, theme }) => {
    const [A, B] = [data.epochs[index], data.epochs[other]];
    for (const { name, moved, mark, value, canvas, layout } of rows) {
      const difference = subtract(A.weights[name], B.weights[name]);
      const apart = distance(A.weights[name], B.weights[name]);
      const limit = largest(difference) || 1;
      const signed = { colours: COLOURS[theme], low: -limit, high: limit };
      if (layout) mosaic(canvas, difference, { ...layout, ...signed });
      else paint(canvas, difference, { width: name === "fc1.weight" ? 200 : 128, height: difference.length / (name === "fc1.weight" ? 200 : 128), ...signed });
      mark(index);
      value.replaceChildren(
        element("span", {}, "since the step before ", element("b", {}, moved[index].toPrecision(2))),
        element("span", {}, `${moment(A)} to ${moment(B)} `, element("b", {}, apart.toPrecision(3))));
    }
  };
  return { build, update };
}
