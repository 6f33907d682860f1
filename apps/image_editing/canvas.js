// pointer events on the picture: a click, a box, a stroke or a lasso, in the picture's own pixels;
// Gradio runs this with `element` and `trigger` of the component
let stroke = null, since = 0;
const waiting = [];  // steps are sent one after the other: Gradio drops an event while the last one is handled
const send = () => {
  if (!waiting.length || Date.now() - since < 20000) return;
  since = Date.now();
  trigger('click', waiting.shift());
};
const step = data => { waiting.push(data); send(); };
document.addEventListener('vc-step-done', () => { since = 0; send(); });
const canvas = () => element.querySelector('.vc-canvas');
const chosen = name => document.querySelector(`#mask-tools input[name=${name}]:checked`).value;
const inside = (value, size) => Math.min(Math.max(value, 0), 1) * size;
const at = event => {
  const box = canvas().getBoundingClientRect(), {width, height} = canvas().dataset;
  const x = (event.clientX - box.left) / box.width, y = (event.clientY - box.top) / box.height;
  return [inside(x, width), inside(y, height)];
};
const shape = (tool, points, size) => {
  const line = points.map(point => point.map(Math.round).join()).join(' ');
  if (tool === 'click') return '';
  if (tool === 'brush') return `<polyline points="${line} ${points.at(-1).join()}" stroke-width="${size}"/>`;
  if (tool === 'lasso') return `<polygon points="${line}"/>`;
  const [[left, top], [right, bottom]] = [points[0], points.at(-1)];
  return `<polygon points="${left},${top} ${right},${top} ${right},${bottom} ${left},${bottom}"/>`;
};
const show = () => {
  canvas().querySelector('svg').innerHTML = shape(stroke.tool, stroke.points, stroke.size);
};
element.addEventListener('pointerdown', event => {
  if (!event.target.closest('.vc-canvas') || event.button) return;
  const share = document.querySelector('#mask-tools input[type=range]').value / 100;
  const {width, height} = canvas().dataset, size = Math.max(1, share * Math.max(width, height));
  stroke = {tool: chosen('vc-tool'), mode: chosen('vc-mode'), size, points: [at(event)]};
  if (stroke.tool !== 'click') event.preventDefault();
  canvas().setPointerCapture(event.pointerId);
  show();
});
element.addEventListener('pointermove', event => {
  if (!stroke || stroke.tool === 'click') return;
  if (stroke.points.length < 4000) stroke.points.push(at(event));
  show();
});
element.addEventListener('pointerup', event => {
  if (!stroke) return;
  const {tool, mode, size, points} = stroke;
  stroke = null;
  step({act: 'draw', tool, mode, size: String(size), points: JSON.stringify(points)});
});
element.addEventListener('pointercancel', () => { stroke = null; });
element.addEventListener('click', event => {
  const button = event.target.closest('[data-act]');
  if (button && !button.disabled) step({act: button.dataset.act});
});
