/** Charts over epochs in SVG: lines with a cursor, the heat map of answers, bars of change. */

import { percent } from "./words.js";

const LEFT = 46;
const BOTTOM = 22;

export function svg(tag, attributes = {}, text = null) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  if (text !== null) node.textContent = text;
  return node;
}

/** Epoch indices worth a label, so that labels stand at least `room` apart. */
function ticks(count, width, room = 44) {
  const step = [1, 2, 5, 10, 20, 50, 100, 200, 500].find((s) => (s * width) / count >= room) ?? count;
  return Array.from({ length: Math.ceil(count / step) }, (_, i) => i * step);
}

/** The width to draw in; a page that is not shown yet has none, and is drawn anew when it is. */
function room(root) {
  return Math.max(160, root.clientWidth);
}

function frame(root, width, height, label) {
  const chart = svg("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": label });
  root.append(chart);
  return chart;
}

/** Clicking or dragging over the chart goes to the epoch there; `toIndex(x)` maps pixels to it. */
function pickable(chart, toIndex, onPick) {
  const pick = (event) => onPick(toIndex(event.clientX - chart.getBoundingClientRect().left));
  chart.addEventListener("pointerdown", pick);
  chart.addEventListener("pointermove", (event) => event.buttons === 1 && event.pointerType === "mouse" && pick(event));
}

/**
 * Lines over epochs. `series`: [{name, className, values}]; `format` words a value. Returns `move(index)`, which sets the
 * cursor and the values of the legend.
 */
export function lines(root, { title, series, epochs, format, top, onPick, height = 170 }) {
  const legend = document.createElement("p");
  legend.className = "chart-legend";
  legend.append(Object.assign(document.createElement("b"), { textContent: title }));
  const values = series.map(({ name, className }) => {
    const item = Object.assign(document.createElement("span"), { className: `key ${className}` });
    const value = document.createElement("b");
    item.append(`${name} `, value);
    legend.append(item);
    return value;
  });
  root.append(legend);
  const width = room(root);
  const chart = frame(root, width, height, `${title} over epochs: ${series.map((s) => `${s.name} ${format(s.values.at(-1))} at the end`).join(", ")}`);
  const x = (i) => LEFT + (i / Math.max(1, epochs.length - 1)) * (width - LEFT - 12);
  const y = (value) => 8 + (1 - value / top) * (height - BOTTOM - 12);
  for (const share of [0, 0.25, 0.5, 0.75, 1]) {
    chart.append(svg("line", { class: "grid", x1: LEFT, x2: width - 12, y1: y(share * top), y2: y(share * top) }));
    chart.append(svg("text", { class: "tick", x: LEFT - 6, y: y(share * top) + 4, "text-anchor": "end" }, format(share * top, true)));
  }
  for (const i of ticks(epochs.length, width)) {
    chart.append(svg("text", { class: "tick", x: x(i), y: height - 4, "text-anchor": "middle" }, epochs[i]));
  }
  for (const { className, values: points } of series) {
    const path = points.map((value, i) => `${i ? "L" : "M"}${x(i).toFixed(1)} ${y(Math.min(value, top)).toFixed(1)}`).join("");
    chart.append(svg("path", { class: `line-${className}`, d: path }));
  }
  const cursor = svg("line", { class: "cursor", y1: 4, y2: height - BOTTOM });
  const dots = series.map(({ className }) => svg("circle", { class: `dot-${className}`, r: 4 }));
  chart.append(cursor, ...dots);
  const toIndex = (at) => Math.round(((at - LEFT) / (width - LEFT - 12)) * (epochs.length - 1));
  pickable(chart, (at) => Math.max(0, Math.min(epochs.length - 1, toIndex(at))), onPick);
  return (index) => {
    cursor.setAttribute("x1", x(index));
    cursor.setAttribute("x2", x(index));
    series.forEach(({ values: points }, n) => {
      values[n].textContent = format(points[index]);
      dots[n].setAttribute("cx", x(index));
      dots[n].setAttribute("cy", y(Math.min(points[index], top)));
    });
  };
}

/** Epochs x digits heat map; `epochs` are labels, `names` what a screen reader says. Returns `fill(reading or null)` and `move(index)`. */
export function heatmap(root, { names, epochs, onPick }) {
  const width = room(root);
  const row = 35;
  const column = (width - 24) / epochs.length;
  const chart = frame(root, width, 10 * row + BOTTOM, "");
  const cells = [];
  for (let digit = 0; digit < 10; digit++) {
    chart.append(svg("text", { class: "row-label", x: 8, y: digit * row + row / 2 + 5, "text-anchor": "middle" }, digit));
    const gap = Math.min(2, column / 4);
    cells.push(epochs.map((_, i) => svg("rect", {
      class: "cell", x: 24 + i * column, y: digit * row + 1, width: column - gap, height: row - 2, rx: Math.min(3, column / 4),
    })));
    chart.append(...cells[digit]);
  }
  const dots = epochs.map((_, i) => svg("circle", { class: "winner", r: Math.max(1, Math.min(4, column / 3)), cx: 24 + (i + 0.5) * column - 1 }));
  for (const i of ticks(epochs.length, width)) {
    const x = Math.min(24 + (i + 0.5) * column - 1, width - 12); // the last of many epochs has a narrow column
    chart.append(svg("text", { class: "tick", x, y: 10 * row + 16, "text-anchor": "middle" }, epochs[i]));
  }
  const cursor = svg("rect", { class: "column-cursor", y: 0, width: column, height: 10 * row, rx: 4 });
  chart.append(...dots, cursor);
  pickable(chart, (at) => Math.max(0, Math.min(epochs.length - 1, Math.floor((at - 24) / column))), onPick);
  return {
    fill(reading) {
      cells.forEach((line, digit) => line.forEach((cell, i) => {
        cell.style.fillOpacity = reading ? 0.06 + 0.94 * reading.probabilities[i][digit] : 0.06;
      }));
      dots.forEach((dot, i) => {
        dot.style.display = reading ? "" : "none";
        if (reading) dot.setAttribute("cy", reading.winners[i] * row + row / 2);
      });
      chart.setAttribute("aria-label", reading
        ? `Answers by epoch: ${names.map((name, i) => `${name}: ${reading.winners[i]}, ${percent(reading.probabilities[i][reading.winners[i]])}`).join("; ")}`
        : "Answers by epoch: draw something first");
    },
    move: (index) => cursor.setAttribute("x", 24 + index * column - 1),
  };
}

/** Small bars, one an epoch, the largest as high as the chart. Returns `move(index)`. */
export function sparkBars(root, { values, label, onPick, height = 44 }) {
  const width = room(root);
  const chart = frame(root, width, height, label);
  const step = width / values.length;
  const top = Math.max(...values, 1e-9);
  const bars = values.map((value, i) => svg("rect", {
    class: "spark", x: i * step, width: Math.max(1, step - 2), y: height - Math.max(1, (value / top) * height), height: Math.max(1, (value / top) * height),
  }));
  chart.append(...bars);
  pickable(chart, (at) => Math.max(0, Math.min(values.length - 1, Math.floor(at / step))), onPick);
  return (index) => bars.forEach((bar, i) => bar.classList.toggle("here", i === index));
}
