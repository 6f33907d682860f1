/** The top of the page: the verdict, its ten bars, what the network sees, and the strip of every epoch's answer. */

import { argmax, forward, settledAt } from "./network.js";
import { COLOURS, element, paint } from "./pictures.js";
import { moment, percent, understood } from "./words.js";

const $ = (id) => document.getElementById(id);

/** Ten rows of digit, bar and percentage; the returned function shows probabilities (or null) and marks the best. */
export function bars(list) {
  const rows = Array.from({ length: 10 }, (_, digit) => {
    const [bar, value] = [element("i"), element("span", { className: "value" })];
    const row = element("li", {}, element("span", { className: "digit" }, String(digit)), element("span", { className: "track" }, bar), value);
    return { row, bar, value };
  });
  list.replaceChildren(...rows.map(({ row }) => row));
  return (probabilities) => {
    const best = probabilities ? argmax(probabilities) : -1;
    rows.forEach(({ row, bar, value }, digit) => {
      bar.style.transform = `scaleX(${probabilities ? probabilities[digit] : 0})`;
      value.textContent = probabilities ? percent(probabilities[digit]) : "";
      row.classList.toggle("best", digit === best);
    });
  };
}

/** The verdict panel; follows `view` like every panel. */
export function answer() {
  let show;
  return {
    build() {
      show ??= bars($("bars"));
    },
    update({ data, index, out, pixels, reading, label }) {
      const probabilities = pixels ? out.probabilities : null;
      show(probabilities);
      const best = pixels ? argmax(probabilities) : null;
      const verdict = pixels && label !== null ? (best === label ? "right" : "wrong") : "";
      $("answer").textContent = pixels ? best : "";
      $("answer").className = `big ${verdict}`;
      $("sure").textContent = !pixels ? "Draw something"
        : `${percent(probabilities[best])} sure${verdict ? ` — ${verdict}${verdict === "wrong" ? `, it is a ${label}` : ""}` : ""}`;
      $("chip").textContent = pixels ? `${best} · ${Math.round(probabilities[best] * 100)} %` : "?";
      $("chip").className = `chip ${verdict}`;
      $("story").textContent = reading ? understood(data.epochs.map(moment), reading.winners, label)
        : "Draw on the dark square: the network answers as you draw. Then press Play to see when it learned to read what you drew.";
      for (const node of document.querySelectorAll("[data-epoch]")) node.textContent = moment(data.epochs[index]);
      $("of-epochs").textContent = data.epochs[index].batch ? "of the first epoch" : `of ${data.epochs.findLast(({ batch }) => !batch).epoch}`;
    },
  };
}

const FOOLED = 0.95;

/** The challenge to draw no digit, and yet be taken for one; `start` begins it. */
export function fool() {
  let best = null; // {digit, share} of the surest answer; null while there is no challenge
  return {
    start() {
      best = { digit: 0, share: 0 };
      $("fool").querySelector("span").textContent = "Start again";
    },
    build() {},
    update({ source, out, pixels }) {
      if (!best) return;
      const digit = argmax(out.probabilities);
      const share = out.probabilities[digit];
      if (source.kind === "draw" && pixels && share > best.share) best = { digit, share };
      const highest = best.share ? `Highest so far: ${percent(best.share)}, a ${best.digit}.` : "";
      const fooled = best.share >= FOOLED && `Fooled: it was ${percent(best.share)} sure of a ${best.digit}.`;
      $("fool-says").textContent = fooled
        || `Draw a face, a letter or a scribble. Can you make it at least ${percent(FOOLED)} sure? ${highest}`;
      if (source.kind === "draw") { // where a phone shows it while one draws
        $("pad-note").hidden = false;
        $("pad-note").textContent = fooled || highest || "Draw no digit: a face, a letter, a scribble.";
      }
    },
  };
}

/** The two 28 x 28 pictures, as drawn and centred, each with the answer it gets. */
export function seen() {
  const says = (node, { data, index }, picture) => {
    const { probabilities } = forward(data.epochs[index].weights, picture, data.norm);
    const best = argmax(probabilities);
    node.textContent = `reads ${best}, ${Math.round(probabilities[best] * 100)} %`;
  };
  const show = (id, view, picture) => {
    paint($(id), picture ?? new Float32Array(784), { width: 28, height: 28, colours: COLOURS.ink, high: 255 });
    if (picture) says($(`${id}-says`), view, picture);
    else $(`${id}-says`).textContent = "";
  };
  return {
    build() {},
    update(view) {
      const drawn = view.source.kind === "draw";
      $("raw-figure").hidden = !drawn;
      $("centred").disabled = !drawn;
      $("raw-figure").classList.toggle("used", drawn && !view.centred);
      $("normal-figure").classList.toggle("used", !drawn || view.centred);
      $("normal-title").textContent = drawn ? "Centred, scaled" : "MNIST test digit";
      $("seen-line").textContent = drawn
        ? "It learned from digits made 20 pixels tall and centred. Switch this off and draw small in a corner: it misreads."
        : "Scanned handwriting, already centred and scaled; the network gets it exactly as it is.";
      if (drawn) show("raw", view, view.raw);
      show("normal", view, drawn ? view.normal : view.pixels);
    },
  };
}

/** Under the slider: every epoch's answer, and the stretch over which it no longer changes. */
export function strip(root, go) {
  let cells = [];
  return {
    build({ data }) {
      const last = data.epochs.length - 1;
      cells = data.epochs.map((_, i) => element("span", { onclick: () => go(i) }));
      root.replaceChildren(...cells);
      // each cell's middle under the slider's thumb (20 px wide) at that epoch
      root.style.setProperty("--half", last ? `calc((100% - 20px) / ${2 * last})` : "50%");
      root.style.setProperty("--epochs", last + 1);
      root.classList.toggle("dense", root.clientWidth / (last + 1) < 12);
      $("epoch").max = last;
    },
    update({ data, index, reading, label }) {
      const first = reading ? settledAt(reading.winners) : Infinity;
      const wrong = reading && label !== null && reading.winners.at(-1) !== label;
      cells.forEach((cell, i) => {
        cell.textContent = reading ? reading.winners[i] : "·";
        cell.className = `${i >= first ? (wrong ? "settled never" : "settled") : ""} ${i === first ? "first" : ""} ${i === index ? "here" : ""}`;
      });
      const record = data.epochs[index];
      $("epoch").value = index;
      $("epoch").setAttribute("aria-valuetext", `${moment(record)}${reading ? `, reads ${reading.winners[index]}` : ""}`);
      $("metrics").textContent = `${record.epoch === 0 ? "untrained · " : ""}${percent(record.test_accuracy)} of the test digits right · loss ${record.loss.toFixed(3)}`;
    },
  };
}
