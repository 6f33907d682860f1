/** The page: one state, at most one redraw a frame, and the verbs that change the state. */

import { answer, fool, seen, strip } from "./answer.js";
import { compare, weightChange } from "./compare.js";
import { wire } from "./controls.js";
import { BadExport, fetchExport, readFiles } from "./data.js";
import { asDrawn, drawing, normalised } from "./drawing.js";
import { curves, every } from "./history.js";
import { inside } from "./inside.js";
import { keyboard } from "./keys.js";
import { fromHash, toHash } from "./link.js";
import { confusion, misread } from "./mistakes.js";
import { activations, forward, readByAll } from "./network.js";
import { occlusion } from "./occlusion.js";
import { listen, showInk, showPicture } from "./pad.js";
import { theme, wireTheme } from "./theme.js";
import { moment, provenance } from "./words.js";

const $ = (id) => document.getElementById(id);
const SHIPPED = "data/digits.json";

const ink = drawing();
const state = { data: null, index: 0, other: 0, centred: true, source: { kind: "draw" } };
// what follows from the state; panels get both merged, and only read
const view = { pixels: null, label: null, reading: null, scale: {}, out: activations(), raw: null, normal: null };
let inputStale = true;
let erasing = false;
let playing = 0;
let built = false; // a panel just built has yet to be filled, wherever it is
let frame = 0;
let calm = 0;

const fooling = fool();
const actions = {
  go(index) {
    state.index = Math.max(0, Math.min(state.data.epochs.length - 1, index));
    redraw();
  },
  step: (by) => actions.go(state.index + by),
  sample(digit) {
    const { kind, digit: shown, n } = state.source;
    const next = kind === "sample" && shown === digit ? n + 1 : Math.floor(Math.random() * 10);
    choose({ kind: "sample", digit, n: next % 10 });
  },
  another: () => actions.sample(state.source.kind === "sample" ? state.source.digit : Math.floor(Math.random() * 10)),
  misread(n) {
    choose({ kind: "misread", n });
    $("main").scrollIntoView();
  },
  draw: () => choose({ kind: "draw" }),
  undo: () => edit("undo"),
  redo: () => edit("redo"),
  clear: () => (state.source.kind === "draw" ? edit("clear") : actions.draw()),
  erase(on = !erasing) {
    erasing = on;
    $("erase").setAttribute("aria-pressed", erasing);
  },
  centre(on = !state.centred) {
    state.centred = on;
    choose(state.source);
  },
  pin(index = state.index) {
    state.other = index;
    redraw();
  },
  play(on = !playing) {
    clearInterval(playing);
    const last = state.data.epochs.length - 1;
    if (on && state.index === last) actions.go(0);
    playing = on && setInterval(() => {
      actions.step(1);
      if (state.index >= last) actions.play(false);
    }, 600 / Number($("speed").value));
    $("play").querySelector("use").setAttribute("href", on ? "#i-pause" : "#i-play");
    $("play").querySelector("span").textContent = on ? "Pause" : "Play";
  },
  fool() {
    actions.play(false);
    actions.go(state.data.epochs.length - 1);
    edit("clear");
    $("pad").scrollIntoView({ block: "nearest" }); // on a phone the button is far below
    fooling.start();
  },
  speed: () => playing && actions.play(true),
  theme: () => $("theme").click(),
  help: () => $("help").showModal(),
  files: (files) => load(() => readFiles(files), "Showing your training."),
  shipped: () => load(() => fetchExport(SHIPPED), "Showing the network of this page."),
};

const panels = {
  answer: answer(), fooling, seen: seen(), strip: strip($("strip"), actions.go),
  every: every($("every"), actions.go), curves: curves($("curves"), actions.go), inside: inside($("inside")),
  compare: compare($("compare")), weights: weightChange($("weights"), actions.go), confusion: confusion($("confusion")),
  misread: misread($("misread"), actions.misread), occlusion: occlusion($("occlusion")),
};

const offScreen = new Set(); // these panels wait, and are brought up to date when they come near the screen
const stale = new Set();
const watcher = new IntersectionObserver((entries) => {
  for (const { target: { id }, isIntersecting } of entries) {
    isIntersecting ? offScreen.delete(id) : offScreen.add(id);
    if (isIntersecting && stale.delete(id)) panels[id].update(view);
  }
}, { rootMargin: "150px" });

function choose(source) {
  state.source = source;
  inputStale = true;
  redraw();
}

function edit(verb) {
  ink[verb]();
  actions.draw();
}

function redraw() {
  if (!frame && state.data) frame = requestAnimationFrame(render);
}

function render() {
  frame = 0;
  const start = performance.now();
  Object.assign(view, state, { theme: theme() });
  if (inputStale) readInput();
  inputStale = false;
  if (view.pixels) forward(view.data.epochs[view.index].weights, view.pixels, view.data.norm, view.out);
  for (const name in panels) offScreen.has(name) && !built ? stale.add(name) : panels[name].update(view);
  built = false;
  performance.clearMeasures();
  performance.measure("frame", { start });
  clearTimeout(calm);
  calm = setTimeout(afterwards, 300);
}

/** From the source to pixels, and to every epoch's reading of them. */
function readInput() {
  const { data, source } = state;
  const drawn = source.kind === "draw";
  const stored = { sample: () => data.samples[source.digit][source.n], misread: () => data.misread[source.n].image }[source.kind]?.();
  view.normal = drawn ? normalised(ink.ink) : null;
  view.raw = view.normal && asDrawn(ink.ink);
  view.pixels = drawn ? (state.centred ? view.normal : view.raw) : Float32Array.from(stored); // a copy: stored images stay as they are
  view.label = { sample: () => source.digit, misread: () => data.misread[source.n].true }[source.kind]?.() ?? null;
  view.reading = view.pixels && readByAll(data.epochs, view.pixels, data.norm, view.out);
  view.scale = view.reading?.scale ?? {};
  drawn ? showInk($("pad"), ink.ink) : showPicture($("pad"), view.pixels);
  $("pad-hint").hidden = Boolean(view.pixels);
  $("pad-note").hidden = drawn;
  $("pad-note").textContent = drawn ? "" : `A test ${view.label}. Draw over it to start your own.`;
  $("undo").disabled = !ink.canUndo;
  $("redo").disabled = !ink.canRedo;
  $("centred").checked = state.centred;
  $("mine").setAttribute("aria-pressed", drawn);
  for (const button of $("digits").children) {
    button.setAttribute("aria-pressed", source.kind === "sample" && button.value === String(source.digit));
  }
}

/** What waits until things are calm: the address, and the words for a screen reader. */
function afterwards() {
  const record = state.data.epochs[state.index];
  $("live").textContent = view.pixels ? `At ${moment(record)} it reads ${$("answer").textContent}, ${$("sure").textContent}.` : "Draw something.";
  const compared = state.other ? state.data.epochs[state.other].epoch : null;
  const hash = toHash({ ...state, epoch: record.epoch, compare: compared }, ink.visible());
  $("permalink").href = hash;
  $("permalink").hidden = location.protocol === "about:"; // in a frame there is no address to share
  try {
    history.replaceState(null, "", hash);
  } catch { /* a sandboxed frame has no address of its own to change */ }
}

function applyHash() {
  const named = fromHash(location.hash);
  state.index = find(named.epoch, state.data.epochs.length - 1);
  state.other = find(named.compare, 0);
  state.centred = named.centred ?? true;
  if (named.strokes) ink.load(named.strokes);
  const missing = named.source?.kind === "misread" && named.source.n >= state.data.misread.length;
  choose(named.source && !missing ? named.source : { kind: "draw" });
}

function find(number, otherwise) {
  const index = state.data.epochs.findIndex((record) => record.epoch === number);
  return index < 0 ? otherwise : index;
}

/** Show data that passed its checks; the picture stays, and so do the epochs where the new training has them. */
function adopt(data) {
  const before = state.data;
  if (playing) actions.play(false);
  const [epoch, compared] = [state.index, state.other].map((index) => before?.epochs[index].epoch);
  state.data = data;
  if (before) {
    state.index = find(epoch, data.epochs.length - 1);
    state.other = find(compared, 0);
    choose(state.source.kind === "misread" ? { kind: "draw" } : state.source);
  } else {
    $("loading").hidden = true;
    $("main").hidden = false;
    for (const panel of document.querySelectorAll("[data-panel]")) watcher.observe(panel);
    applyHash();
  }
  $("provenance").textContent = provenance(data);
  build();
}

function build() {
  Object.assign(view, state, { theme: theme() });
  for (const name in panels) panels[name].build(view);
  built = true;
  redraw();
}

/** Show the export from `get`, with a message; on an error, show one sentence and keep the current network. */
async function load(get, message) {
  $("problem").hidden = true;
  try {
    adopt(await get());
    $("loaded").textContent = message;
    $("shipped").hidden = message !== "Showing your training.";
  } catch (error) {
    if (!(error instanceof BadExport)) console.error(error);
    const sentence = error instanceof BadExport ? error.message : "The export could not be read.";
    $("problem").textContent = state.data ? `${sentence} The page keeps the current network.` : sentence;
    $("problem").hidden = false;
    $("problem").scrollIntoView({ block: "center" });
    $("loading").hidden = true;
  }
}

wire(actions);
keyboard(actions, () => $("shortcuts").checked, () => Boolean(state.data));
wireTheme($("theme"), redraw);
listen($("pad"), {
  begin([x, y], penEraser) {
    if (state.source.kind !== "draw") ink.clear();
    ink.begin(Number($("brush").value), erasing || penEraser, x, y);
    actions.draw();
  },
  extend([x, y]) {
    ink.extend(x, y);
    actions.draw();
  },
  end: () => redraw(),
});
addEventListener("hashchange", () => state.data && applyHash());
$("home").hidden = !location.pathname.includes("/digits/"); // alone or in a frame there is no other page
let width = 0;
new ResizeObserver(() => {
  if (state.data && $("main").clientWidth !== width) build();
  width = $("main").clientWidth;
}).observe($("main"));

const named = new URLSearchParams(location.search).get("data");
if (named) await load(() => fetchExport(named), "Showing the training of this address.");
if (!state.data) {
  const refused = $("problem").hidden ? null : $("problem").textContent;
  await load(() => fetchExport(SHIPPED), "");
  if (refused && state.data) Object.assign($("problem"), { hidden: false, textContent: `${refused} Showing the network of this page instead.` });
}
