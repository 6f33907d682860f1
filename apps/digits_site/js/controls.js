/** Buttons, sliders, files and the dialog, each wired to one of the page's verbs. */

import { element } from "./pictures.js";

const $ = (id) => document.getElementById(id);
const on = (id, name, run) => $(id).addEventListener(name, run);

export function wire(actions) {
  on("play", "click", () => actions.play());
  on("fool", "click", actions.fool);
  on("speed", "change", actions.speed);
  on("previous", "click", () => actions.step(-1));
  on("following", "click", () => actions.step(1));
  on("epoch", "input", () => {
    actions.play(false);
    actions.go(Number($("epoch").value));
  });
  on("other", "change", () => actions.pin(Number($("other").value)));
  on("erase", "click", () => actions.erase());
  for (const verb of ["undo", "redo", "clear"]) on(verb, "click", actions[verb]);
  on("centred", "change", () => actions.centre($("centred").checked));
  wireDigits(actions);
  wireFiles(actions);
  on("help-open", "click", actions.help);
  on("help-close", "click", () => $("help").close());
  on("load-open", "click", () => {
    if ($("main").hidden) return $("files").click(); // nothing could be loaded, so there is no page to scroll yet
    $("load").scrollIntoView({ block: "center" });
    $("files").focus({ preventScroll: true });
  });
}

function wireDigits(actions) {
  const button = (text, value, label, run) => element("button", { textContent: text, value, title: label, "aria-label": label, onclick: run });
  const digits = Array.from({ length: 10 }, (_, digit) => button(String(digit), digit, `A test ${digit}; again for another one (key ${digit})`, () => actions.sample(digit)));
  $("digits").replaceChildren(...digits);
  on("another", "click", actions.another);
  on("mine", "click", actions.draw);
}

function wireFiles(actions) {
  on("files", "change", () => {
    if ($("files").files.length) actions.files([...$("files").files]);
    $("files").value = ""; // so that choosing the same files again counts
  });
  on("shipped", "click", actions.shipped);
  const over = (event, show) => {
    if (!event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    $("drop").hidden = !show;
  };
  addEventListener("dragover", (event) => over(event, true));
  addEventListener("dragleave", (event) => event.relatedTarget === null && over(event, false));
  addEventListener("drop", (event) => {
    over(event, false);
    if (event.dataTransfer.files.length) actions.files([...event.dataTransfer.files]);
  });
}
