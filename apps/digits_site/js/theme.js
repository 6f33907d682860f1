/** Light or dark: ?theme=, the visitor's last choice here, else the system's. */

const system = matchMedia("(prefers-color-scheme: dark)");

/** "light" or "dark", as shown now. */
export function theme() {
  return document.documentElement.dataset.theme ?? (system.matches ? "dark" : "light");
}

/** Apply the remembered choice and wire the button; `changed` is called whenever the look changes. */
export function wireTheme(button, changed) {
  const wanted = new URLSearchParams(location.search).get("theme") ?? stored();
  if (wanted === "light" || wanted === "dark") document.documentElement.dataset.theme = wanted;
  button.addEventListener("click", () => {
    const next = theme() === "dark" ? "light" : "dark";
    document.documentElement.dataset.theme = next;
    try {
      localStorage.setItem("digits-theme", next);
    } catch { /* no storage in a sandboxed frame: the choice lasts as long as the page */ }
    changed();
  });
  system.addEventListener("change", changed);
}

function stored() {
  try {
    return localStorage.getItem("digits-theme");
  } catch {
    return null;
  }
}
