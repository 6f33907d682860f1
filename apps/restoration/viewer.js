// Before and after at the same spot: one transform moves both pictures, the divider clips the upper one.
const at = { zoom: 0, x: 0, y: 0, split: 50, brush: false, erase: false, size: 28, shown: '' };
const find = (selector) => element.querySelector(selector);
const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

function sizes() {
  const viewer = find('.vc-viewer'), stage = find('.vc-stage');
  if (!viewer) return null;
  const [w, h] = [Number(viewer.dataset.width), Number(viewer.dataset.height)];
  const box = stage.getBoundingClientRect();
  return { viewer, stage, box, w, h, fit: Math.min(box.width / w, box.height / h) };
}

function draw() {
  const s = sizes();
  if (!s) return;
  const scale = at.zoom || s.fit;
  const room = (side, length) => side - length * scale;
  at.x = room(s.box.width, s.w) > 0 ? room(s.box.width, s.w) / 2 : clamp(at.x, room(s.box.width, s.w), 0);
  at.y = room(s.box.height, s.h) > 0 ? room(s.box.height, s.h) / 2 : clamp(at.y, room(s.box.height, s.h), 0);
  s.stage.style.setProperty('--at', `translate(${at.x}px, ${at.y}px) scale(${scale})`);
  s.stage.style.setProperty('--split', `${at.split}%`);
  s.stage.classList.toggle('sharp', scale >= 2);
  s.stage.classList.toggle('zoomed', scale > s.fit * 1.01);
  s.stage.classList.toggle('painting', at.brush);
  find('.vc-zoom').textContent = `${Math.round(scale * 100)} %`;
  find('.vc-split').value = at.split;
  for (const button of element.querySelectorAll('[data-over]')) {
    const on = button.dataset.over === at.shown;
    button.setAttribute('aria-pressed', String(on));
    const picture = find(`img.${button.dataset.over}`);
    if (on && !picture.getAttribute('src')) picture.src = picture.dataset.src;
    picture.hidden = !on;
  }
  find('[data-do=brush]')?.setAttribute('aria-pressed', String(at.brush));
  const tools = find('.vc-brushes');
  if (tools) tools.hidden = !at.brush;
}

// Busy until the pictures in view are loaded
function settle() {
  const pictures = [...element.querySelectorAll('.vc-layer img:not([hidden])')];
  find('.vc-stage')?.setAttribute('aria-busy', String(pictures.some((picture) => !picture.complete)));
}
for (const event of ['load', 'error', 'made']) element.addEventListener(event, settle, true);

function zoom(factor, x, y) {
  const s = sizes();
  if (!s) return;
  const old = at.zoom || s.fit;
  const next = clamp(old * factor, s.fit, 8);
  [x, y] = [x ?? s.box.width / 2, y ?? s.box.height / 2];
  at.x = x - (x - at.x) * next / old;
  at.y = y - (y - at.y) * next / old;
  at.zoom = next <= s.fit * 1.001 ? 0 : next;
  draw();
}

function paint(event) {
  const s = sizes(), canvas = find('canvas'), scale = at.zoom || s.fit;
  const spot = (e) => [(e.clientX - s.box.left - at.x) / scale * canvas.width / s.w,
    (e.clientY - s.box.top - at.y) / scale * canvas.height / s.h];
  const pen = canvas.getContext('2d'), now = spot(event);
  pen.globalCompositeOperation = at.erase ? 'destination-out' : 'source-over';
  pen.lineWidth = at.size / scale * canvas.width / s.w;
  pen.lineCap = 'round';
  pen.strokeStyle = '#0d9488';
  pen.beginPath();
  pen.moveTo(...(at.last ?? now));
  pen.lineTo(...now);
  pen.stroke();
  at.last = now;
}

function send() {
  trigger('click', { act: 'protect', value: find('canvas').toDataURL('image/png') });
}

function restore_mask() {
  const s = sizes(), canvas = find('canvas');
  if (!s || !canvas) return;
  const share = Math.min(1, 1024 / Math.max(s.w, s.h));
  [canvas.width, canvas.height] = [Math.max(1, Math.round(s.w * share)), Math.max(1, Math.round(s.h * share))];
  if (!s.viewer.dataset.mask) return;
  const picture = new Image();
  picture.onload = () => canvas.getContext('2d').drawImage(picture, 0, 0, canvas.width, canvas.height);
  picture.src = s.viewer.dataset.mask;
}

let drag = null;
element.addEventListener('pointerdown', (event) => {
  const s = sizes();
  if (!s || !event.target.closest('.vc-stage') || event.button) return;
  const x = event.clientX - s.box.left;
  const nearLine = Math.abs(x - at.split / 100 * s.box.width) < 22;
  drag = { paint: at.brush, line: !at.brush && nearLine, x: event.clientX, y: event.clientY, id: event.pointerId };
  if (!drag.paint && !drag.line && !s.stage.classList.contains('zoomed')) drag.line = event.pointerType === 'mouse';
  if (drag.paint) { at.last = null; paint(event); }
  if (drag.line) { at.split = clamp(100 * x / s.box.width, 0, 100); draw(); }
  s.stage.setPointerCapture(event.pointerId);
});
element.addEventListener('pointermove', (event) => {
  if (!drag || event.pointerId !== drag.id) return;
  const s = sizes();
  if (!s) return;
  if (drag.paint) return paint(event);
  if (drag.line) at.split = clamp(100 * (event.clientX - s.box.left) / s.box.width, 0, 100);
  else { at.x += event.clientX - drag.x; at.y += event.clientY - drag.y; [drag.x, drag.y] = [event.clientX, event.clientY]; }
  draw();
});
for (const end of ['pointerup', 'pointercancel']) element.addEventListener(end, () => {
  if (drag?.paint) send();
  drag = null;
  at.last = null;
});
element.addEventListener('dblclick', (event) => {
  const s = sizes();
  if (!s || at.brush || !event.target.closest('.vc-stage')) return;
  const [x, y] = [event.clientX - s.box.left, event.clientY - s.box.top];
  if (at.zoom) { at.zoom = 0; draw(); } else zoom(Math.max(2.5, 1.5 / s.fit), x, y);
});
element.addEventListener('wheel', (event) => {
  const s = sizes();
  if (!s || !event.target.closest('.vc-stage') || !(event.ctrlKey || event.metaKey || at.zoom)) return;
  event.preventDefault();
  zoom(event.deltaY < 0 ? 1.2 : 1 / 1.2, event.clientX - s.box.left, event.clientY - s.box.top);
}, { passive: false });
element.addEventListener('keydown', (event) => {
  if (!event.target.closest('.vc-stage')) return;
  const move = { ArrowLeft: [60, 0], ArrowRight: [-60, 0], ArrowUp: [0, 60], ArrowDown: [0, -60] }[event.key];
  if (move) { at.x += move[0]; at.y += move[1]; draw(); }
  else if (event.key === '+' || event.key === '=') zoom(1.4);
  else if (event.key === '-') zoom(1 / 1.4);
  else if (event.key === '0') { at.zoom = 0; draw(); }
  else return;
  event.preventDefault();
});
element.addEventListener('input', (event) => {
  if (event.target.matches('.vc-split')) { at.split = Number(event.target.value); draw(); }
  if (event.target.matches('.vc-width')) at.size = Number(event.target.value);
});
element.addEventListener('click', (event) => {
  const button = event.target.closest('button');
  if (!button) return;
  const { act, over } = button.dataset;
  if (over) { at.shown = at.shown === over ? '' : over; draw(); settle(); }
  if (act) trigger('click', { act, value: '' });
  switch (button.dataset.do) {
    case 'in': zoom(1.5); break;
    case 'out': zoom(1 / 1.5); break;
    case 'fit': at.zoom = 0; draw(); break;
    case 'full': { const s = sizes(); zoom(1 / (at.zoom || s.fit)); break; }
    case 'brush': at.brush = !at.brush; at.split = at.brush ? 0 : 50; draw(); break;
    case 'erase': at.erase = !at.erase; button.setAttribute('aria-pressed', String(at.erase)); break;
    case 'clear': { const c = find('canvas'); c.getContext('2d').clearRect(0, 0, c.width, c.height); send(); break; }
  }
});
let name = '';
function again() {
  const viewer = find('.vc-viewer');
  if (!viewer) return;
  if (viewer.dataset.name !== name) Object.assign(at, { zoom: 0, split: 50, brush: false, shown: '' });
  if (viewer.dataset.shown) at.shown = viewer.dataset.shown;
  name = viewer.dataset.name;
  const size = find('.vc-width');
  if (size) size.value = at.size;
  restore_mask();
  draw();
  settle();
}
watch('value', again);
new ResizeObserver(draw).observe(element);
again();
