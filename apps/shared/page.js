// What Gradio's components lack for the keyboard and for screen readers; run once a page.
() => {
  const STEP = 0.05;

  // The divider of a before-and-after picture: arrow keys move it as a mouse would
  function mouse(type, target, x, y) {
    const place = { clientX: x, clientY: y, button: 0, bubbles: true, cancelable: true, view: window };
    target.dispatchEvent(new MouseEvent(type, place));
  }
  const spot = (divider) => {
    const handle = divider.querySelector('.icon-wrap') ?? divider, frame = divider.closest('.slider-wrap').getBoundingClientRect();
    const box = handle.getBoundingClientRect();
    return { handle, frame, x: box.x + box.width / 2, y: box.y + box.height / 2 };
  };
  function slide(divider, share) {
    const { handle, frame, x, y } = spot(divider);
    const to = frame.x + Math.min(1, Math.max(0, share)) * frame.width;
    mouse('mousedown', handle, x, y);
    mouse('mousemove', window, to, y);
    mouse('mouseup', window, to, y);
    setTimeout(() => tell(divider), 60);
  }
  function tell(divider) {
    const { frame, x } = spot(divider);
    divider.setAttribute('aria-valuenow', String(Math.round(100 * (x - frame.x) / frame.width)));
  }
  document.addEventListener('keydown', (event) => {
    const divider = event.target.closest?.('[data-testid=slider][role=slider]');
    if (!divider) return;
    const { frame, x } = spot(divider), now = (x - frame.x) / frame.width;
    const to = { ArrowLeft: now - STEP, ArrowRight: now + STEP, Home: 0, End: 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    slide(divider, to);
  });

  function mend() {
    for (const divider of document.querySelectorAll('.slider-wrap [data-testid=slider]:not([role=slider])')) {
      const name = { role: 'slider', tabindex: '0', 'aria-label': 'divider between before and after', 'aria-valuemin': '0', 'aria-valuemax': '100' };
      for (const [key, value] of Object.entries(name)) divider.setAttribute(key, value);
      tell(divider);
      const [before, after] = divider.closest('.slider-wrap').querySelectorAll('img');
      if (before) before.alt = 'before';
      if (after) after.alt = 'after';
    }
    // radio buttons of one group share a name: one Tab stop, arrow keys inside
    for (const group of document.querySelectorAll('fieldset:has(input[type=radio])')) {
      const radios = group.querySelectorAll('input[type=radio]');
      for (const radio of radios) if (radio.name !== radios[0].name) radio.name = radios[0].name;
    }
    // upload boxes are called by their labels
    for (const box of document.querySelectorAll('.block:has(> [data-testid=block-label]) button:has(input[type=file])')) {
      const label = box.closest('.block').querySelector('[data-testid=block-label]').innerText.trim();
      if (label && !box.ariaLabel?.startsWith(label)) {
        box.ariaLabel = `${label}: choose a file or drop it here`;
        box.querySelector('input[type=file]').ariaLabel = label;
      }
    }
  }
  let waiting = false;
  new MutationObserver(() => {
    if (waiting) return;
    waiting = true;
    setTimeout(() => { waiting = false; mend(); }, 100);
  }).observe(document.body, { childList: true, subtree: true });
  mend();
}
