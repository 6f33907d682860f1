/** The keyboard: what each key does, on the whole page except where a control needs the key itself. */

/** Listen for keys; `actions` are the page's verbs, `letters()` says whether letter and digit keys are on, `ready()` whether any is. */
export function keyboard(actions, letters, ready) {
  const always = {
    ArrowLeft: () => actions.step(-1), ArrowRight: () => actions.step(1),
    Home: () => actions.step(-Infinity), End: () => actions.step(Infinity), " ": () => actions.play(),
  };
  const single = {
    n: actions.another, d: actions.draw, e: () => actions.erase(), c: actions.clear, m: () => actions.centre(),
    b: actions.pin, u: actions.undo, U: actions.redo, t: actions.theme, "?": actions.help,
  };
  addEventListener("keydown", (event) => {
    const target = event.target;
    if (!ready() || event.altKey || event.defaultPrevented || document.querySelector("dialog[open]")) return;
    let run;
    if (event.ctrlKey || event.metaKey) {
      run = { z: actions.undo, Z: actions.redo, y: actions.redo }[event.key];
    } else if (/^\d$/.test(event.key)) {
      run = letters() && (() => actions.sample(Number(event.key)));
    } else {
      run = always[event.key] ?? (letters() ? single[event.key] : null);
    }
    const own = target.matches("select") || (target.matches("input[type=range]") && event.key !== " ") && event.key in always
      || (event.key === " " && target.matches("button, a, summary, input[type=checkbox], input[type=file]"));
    if (!run || own) return;
    event.preventDefault();
    run();
  });
}
