import assert from "node:assert/strict";
import test from "node:test";

import { LAYERS, activations, argmax, forward, occlude, readByAll, settledAt } from "../../apps/digits_site/js/network.js";
import { shipped } from "./shipped.mjs";

const data = await shipped();

test("logits match PyTorch's for the probe in every epoch", () => {
  const moments = data.epochs.flatMap(({ batch }) => batch ?? []);
  assert.deepEqual([moments, data.epochs.length], [[1, 2, 5, 10, 20, 50], 21 + 6]);
  for (const { epoch, weights, probe_logits } of data.epochs) {
    const { logits } = forward(weights, data.probe, data.norm);
    const apart = Math.max(...probe_logits.map((value, i) => Math.abs(value - logits[i])));
    assert.ok(apart <= 1e-4, `epoch ${epoch}: logits differ by ${apart}`);
  }
});

test("every layer equals the textbook sums, written out one value at a time", () => {
  const { weights } = data.epochs.at(-1);
  const out = forward(weights, data.samples[3][0], data.norm);
  const at = (values, size, c, y, x) => values[(c * size + y) * size + x];
  const conv = (input, size, channels, name, o, y, x) => {
    let sum = weights[`${name}.bias`][o];
    for (let c = 0; c < channels; c++) for (let v = 0; v < 3; v++) for (let u = 0; u < 3; u++) {
      sum += weights[`${name}.weight`][((o * channels + c) * 3 + v) * 3 + u] * at(input, size, c, y + v, x + u);
    }
    return Math.max(0, sum);
  };
  const pool = (input, size, c, y, x) => Math.max(...[0, 1].flatMap((v) => [0, 1].map((u) => at(input, size, c, 2 * y + v, 2 * x + u))));
  for (const [name, value] of Object.entries({
    conv1: (c, y, x) => conv(out.input, 28, 1, "conv1", c, y, x), pool1: (c, y, x) => pool(out.conv1, 26, c, y, x),
    conv2: (c, y, x) => conv(out.pool1, 13, 4, "conv2", c, y, x), pool2: (c, y, x) => pool(out.conv2, 11, c, y, x),
  })) {
    const { channels, size } = LAYERS[name];
    assert.equal(out[name].length, channels * size * size);
    for (let c = 0; c < channels; c++) for (let y = 0; y < size; y++) for (let x = 0; x < size; x++) {
      assert.ok(Math.abs(at(out[name], size, c, y, x) - value(c, y, x)) < 1e-4, `${name} ${c} ${y} ${x}`);
    }
  }
  const total = out.logits.reduce((sum, logit) => sum + Math.exp(logit), 0);
  out.logits.forEach((logit, i) => assert.ok(Math.abs(out.probabilities[i] - Math.exp(logit) / total) < 1e-6, `probability ${i}`));
});

test("a value depends on its receptive field and on nothing else", () => {
  const { weights } = data.epochs.at(-1);
  const base = Float32Array.from(data.samples[5][1]);
  const changed = base.map((value) => 255 - value);
  for (const [name, { size, field, stride }] of Object.entries(LAYERS)) {
    const [y, x] = [size - 1, 1];
    const inside = changed.slice();
    for (let v = 0; v < field; v++) for (let u = 0; u < field; u++) inside[(y * stride + v) * 28 + x * stride + u] = base[(y * stride + v) * 28 + x * stride + u];
    const [a, b, c] = [base, inside, changed].map((pixels) => forward(weights, pixels, data.norm)[name]);
    const values = (map) => Array.from({ length: LAYERS[name].channels }, (_, channel) => map[(channel * size + y) * size + x]);
    assert.deepEqual(values(a), values(b), name);
    assert.notDeepEqual(values(a), values(c), name);
  }
});

test("reading by all epochs agrees with reading one by one, and its scale bounds every epoch", () => {
  const pixels = data.samples[4][2];
  const { probabilities, winners, scale } = readByAll(data.epochs, pixels, data.norm);
  data.epochs.forEach(({ weights }, i) => {
    const out = forward(weights, pixels, data.norm);
    assert.deepEqual(probabilities[i], out.probabilities);
    assert.equal(winners[i], argmax(out.logits));
    for (const name in scale) assert.ok(Math.max(...out[name]) <= scale[name]);
  });
  assert.ok(scale.fc1 > 0);
});

test("the shipped last epoch reads the samples", () => {
  const right = data.samples.flatMap((row, digit) => row.map((pixels) => argmax(forward(data.epochs.at(-1).weights, pixels, data.norm).logits) === digit));
  assert.ok(right.filter(Boolean).length >= 95, `${right.filter(Boolean).length} of 100`);
});

test("misread images are misread as the export says, in every epoch", () => {
  for (const { image, predicted } of data.misread) assert.deepEqual(readByAll(data.epochs, image, data.norm).winners, predicted);
});

test("an answer is settled where it last changes", () => {
  assert.equal(settledAt([1, 7, 7, 7]), 1);
  assert.equal(settledAt([7, 7]), 0);
  assert.equal(settledAt([7, 7, 2]), 2);
  assert.equal(settledAt([7, 2, 7, 7]), 2);
  assert.equal(settledAt([4]), 0);
});

test("the occlusion map tells the fall of the probability, patch by patch", () => {
  const { weights } = data.epochs.at(-1);
  const pixels = Float32Array.from(data.samples[8][0]);
  const before = forward(weights, pixels, data.norm).probabilities[8];
  let drop;
  for (drop of occlude(weights, pixels, data.norm, 8, 3));
  for (const [y, x] of [[0, 0], [14, 14], [27, 5], [9, 17]]) {
    const hidden = pixels.map((value, i) => (Math.abs((i / 28 | 0) - y) <= 1 && Math.abs(i % 28 - x) <= 1 ? 128 : value));
    const after = forward(weights, hidden, data.norm).probabilities[8];
    assert.ok(Math.abs(drop[y * 28 + x] - (before - after)) < 1e-6);
  }
  assert.deepEqual(pixels, Float32Array.from(data.samples[8][0]), "the picture itself stays whole");
});

test("buffers can be reused", () => {
  const out = activations();
  forward(data.epochs[3].weights, data.samples[1][0], data.norm, out);
  const again = forward(data.epochs[9].weights, data.samples[2][0], data.norm, out);
  assert.deepEqual(again.logits, forward(data.epochs[9].weights, data.samples[2][0], data.norm).logits);
});
