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
    const { key: typed = "", shiftKey } = event; // a browser that fills in a form sends none
    const key = typed.length > 1 ? typed : shiftKey ? typed.toUpperCase() : typed.toLowerCase(); // whatever CapsLock says
    let run;
    if (event.ctrlKey || event.metaKey) {
      run = { z: actions.undo, Z: actions.redo, y: actions.redo }[key];
    } else if (/^\d$/.test(key)) {
      run = letters() && (() => actions.sample(Number(key)));
    } else {
      run = always[key] ?? (letters() ? single[key] : null);
    }
    const own = target.matches("select") || (target.matches("input[type=range]") && key !== " ") && key in always
      || (key === " " && target.matches("button, a, summary, input[type=checkbox], input[type=file]"));
    if (!run || own) return;
    event.preventDefault();
    run();
  });
}
