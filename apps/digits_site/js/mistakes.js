/** Confusion matrix, accuracy of each digit, and the gallery of images misread to the end. */

import { COLOURS, element, paint, pixelCanvas } from "./pictures.js";
import { confused, moment, percent } from "./words.js";

export function confusion(panel) {
  const body = panel.querySelector("[data-body]");
  const readout = panel.querySelector("[data-readout]");
  let cells = [];
  let rates = [];
  let chosen = null; // [truth, answer]
  let record = null;

  const choose = (truth, answer) => {
    chosen = [truth, answer];
    readout.textContent = confused(record, truth, answer);
    cells.forEach((line, t) => line.forEach((cell, a) => {
      cell.setAttribute("aria-pressed", t === truth && a === answer);
      cell.tabIndex = t === truth && a === answer ? 0 : -1;
    }));
  };

  const walk = (event, truth, answer) => {
    const step = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
    if (!step) return;
    event.preventDefault(); // so that inside the table the arrows move in the table, not in time
    cells[(truth + step[0] + 10) % 10][(answer + step[1] + 10) % 10].focus();
  };

  const build = () => {
    chosen = null;
    readout.textContent = "Click a number to have it in words.";
    cells = Array.from({ length: 10 }, (_, truth) => Array.from({ length: 10 }, (_, answer) => element("button", {
      className: truth === answer ? "cell right" : "cell wrong", tabIndex: truth || answer ? -1 : 0,
      ariaLabel: `${truth} read as ${answer}`, // until the first count is there
      onclick: () => choose(truth, answer), onkeydown: (event) => walk(event, truth, answer),
    })));
    rates = cells.map(() => element("td", { className: "rate" }));
    const digits = Array.from({ length: 10 }, (_, digit) => element("th", { scope: "col" }, String(digit)));
    const head = element("tr", {}, element("th", { className: "corner" }, "true"), ...digits, element("th", { className: "rate" }, "right"));
    const lines = cells.map((line, truth) => element("tr", {}, element("th", { scope: "row" }, String(truth)), ...line.map((cell) => element("td", {}, cell)), rates[truth]));
    body.replaceChildren(element("table", { className: "matrix" },
      element("caption", { className: "visually-hidden" }, "Confusion matrix: rows are the true digits, columns the answers"),
      element("thead", {}, head), element("tbody", {}, ...lines)));
  };

  const update = ({ data, index }) => {
    record = data.epochs[index];
    record.confusion.forEach((line, truth) => {
      const total = line.reduce((a, b) => a + b, 0) || 1;
      line.forEach((count, answer) => {
        const cell = cells[truth][answer];
        if (cell.value === String(count)) return; // most of a table stays as it was: the page need not lay it out again
        cell.value = count;
        cell.textContent = count || "";
        const share = count / total; // the tints between 44 and 100 % would leave the number too little contrast
        cell.style.setProperty("--tint", `${share >= 0.5 ? 100 : count ? 8 + 36 * Math.sqrt(2 * share) : 0}%`);
        cell.classList.toggle("strong", share >= 0.5);
        cell.setAttribute("aria-label", truth === answer ? `${truth} read correctly: ${count}` : `${truth} misread as ${answer}: ${count}`);
      });
      rates[truth].textContent = percent(line[truth] / total);
    });
    if (chosen) readout.textContent = confused(record, ...chosen);
  };
  return { build, update };
}

export function misread(panel, pick) {
  const body = panel.querySelector("[data-body]");
  let tiles = [];

  const build = ({ data }) => {
    tiles = data.misread.map((item, n) => {
      const canvas = pixelCanvas();
      const says = element("span");
      const tile = element("button", { className: "tile", ariaLabel: `A test image of a ${item.true}; load it`, onclick: () => pick(n) }, canvas, says);
      paint(canvas, item.image, { width: 28, height: 28, colours: COLOURS.ink, high: 255 });
      return { tile, says };
    });
    body.replaceChildren(...tiles.map(({ tile }) => tile));
    const wrong = data.epochs.at(-1).confusion.flatMap((line, truth) => line.filter((_, answer) => answer !== truth))
      .reduce((sum, count) => sum + count, 0);
    panel.querySelector("[data-which]").textContent = wrong > tiles.length ? `${tiles.length} of the ${wrong} test digits` : "Test digits";
    if (!tiles.length) body.textContent = "None: the last epoch reads every test image.";
  };

  const update = ({ data, index, source }) => {
    tiles.forEach(({ tile, says }, n) => {
      const { true: truth, predicted } = data.misread[n];
      const right = predicted[index] === truth;
      says.textContent = right ? `${truth} ✓` : `${truth} as ${predicted[index]}`;
      tile.classList.toggle("good", right);
      tile.setAttribute("aria-pressed", source.kind === "misread" && source.n === n);
      tile.setAttribute("aria-label", `${says.textContent}: a test image of a ${truth} read as ${predicted[index]} at ${moment(data.epochs[index])}; load it`);
    });
  };
  return { build, update };
}
