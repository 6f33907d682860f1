// keys of the toolbar, wherever the focus is but in a field: B brush, E erase, [ ] size, Ctrl-Z, Ctrl-Shift-Z or Ctrl-Y, Enter
const choose = (name, value) => {
  const input = document.querySelector(`#mask-tools input[name=${name}][value=${value}]`);
  input.checked = true;
  input.dispatchEvent(new Event('change', {bubbles: true}));
};
const press = selector => document.querySelector(selector)?.click();
document.addEventListener('keydown', event => {
  if (event.target.closest('textarea, select, [contenteditable], input:not([type=radio], [type=range])')) return;
  const size = document.querySelector('#mask-tools input[type=range]');
  if (!size || !document.querySelector('.vc-canvas')?.offsetParent) return;
  const key = event.key.toLowerCase();
  if (event.ctrlKey || event.metaKey) {
    if (key !== 'z' && key !== 'y') return;
    press(`#canvas [data-act=${event.shiftKey || key === 'y' ? 'redo' : 'undo'}]`);
  } else if (event.altKey) {
    return;
  } else if (key === 'b' || key === 'e') {
    choose('vc-tool', 'brush');
    choose('vc-mode', key === 'b' ? 'add' : 'take');
  } else if (key === '[' || key === ']') {
    size.value = Number(size.value) + (key === '[' ? -1 : 1);
    size.dispatchEvent(new Event('input', {bubbles: true}));
  } else if (key === 'enter' && !event.target.closest('button, a, summary, [role=tab], [role=button]')) {
    press('#start');
  } else {
    return;
  }
  event.preventDefault();
});
