"""Accessibility checks of a page with axe-core."""

import pytest

AND_TARGETS = {"rules": {"target-size": {"enabled": True}}}  # of 24 pixels; axe leaves it out by itself

# in a transition, colours are between two that are legible; a strict policy admits no style element
STILL = """() => {
    const still = new CSSStyleSheet();
    still.replaceSync("*, *::before, *::after { transition: none !important; animation: none !important; }");
    document.adoptedStyleSheets = [...document.adoptedStyleSheets, still];
    return new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)));
}"""


def violations(page) -> list[str]:
    """Serious and critical violations, including small targets, with their places."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    page.wait_for_function("() => !document.querySelector('button[aria-busy=true]')")
    page.evaluate(STILL)
    issues = axe.Axe().run(page, options=AND_TARGETS).response["violations"]
    return [
        f"{entry['id']}: {node['target']} {node.get('failureSummary', '')[:200]}"
        for entry in issues
        if entry["impact"] in ("serious", "critical")
        for node in entry["nodes"]
    ]


def violations_by_scheme(page) -> dict[str, list[str]]:
    """The violations of the page in the light and in the dark scheme."""
    behind = "getComputedStyle(document.querySelector('.stApp') ?? document.body).backgroundColor"
    page.emulate_media(color_scheme="light")
    page.wait_for_timeout(1000)
    light, dark = page.evaluate(behind), violations(page)
    page.emulate_media(color_scheme="dark")
    page.wait_for_function(f"{behind} !== '{light}'")
    page.wait_for_timeout(500)
    return {"light": dark, "dark": violations(page)}
