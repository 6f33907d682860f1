import assert from "node:assert/strict";
import test from "node:test";

import { distance } from "../../apps/digits_site/js/compare.js";
import { confused, percent, understood } from "../../apps/digits_site/js/words.js";

test("the sentence names the epoch from which the answer stays", () => {
  const epochs = [0, 1, 2, 3];
  assert.match(understood(epochs, [1, 2, 7, 7], 7), /^Understood at epoch 2: .* reads it as 7; epoch 1 still said 2\.$/);
  assert.match(understood(epochs, [1, 2, 7, 7]), /^Since epoch 2 .* If that is what you drew/);
  assert.match(understood(epochs, [1, 2, 7, 7], 4), /But it is a 4: this training never understood it/);
  assert.match(understood(epochs, [7, 7, 7, 7], 7), /^Every epoch reads it as 7/);
  assert.match(understood(epochs, [7, 7, 7, 1], 1), /^Only the last epoch reads it as 1; epoch 2 still said 7/);
  assert.match(understood([5], [3]), /^The only epoch here reads it as 3/);
  assert.match(understood([10, 20, 30], [1, 2, 2]), /Since epoch 20/);
});

test("percentages never round a doubt away", () => {
  const plain = (share) => percent(share).replaceAll("\u00a0", " ");
  assert.deepEqual([0, 0.0004, 0.5, 0.9995, 1].map(plain), ["0.0 %", "< 0.1 %", "50.0 %", "> 99.9 %", "100.0 %"]);
});

test("a cell of the confusion matrix in words", () => {
  const confusion = Array.from({ length: 10 }, () => Array(10).fill(0));
  confusion[4][4] = 95;
  confusion[4][9] = 5;
  confusion[2][3] = 1;
  const record = { epoch: 3, confusion };
  assert.match(confused(record, 4, 9), /^Epoch 3: 5 test images of a 4 misread as 9, of 100 \(5\.0.%\)\.$/);
  assert.match(confused(record, 4, 4), /95 test images of a 4 read correctly/);
  assert.match(confused(record, 2, 3), /1 test image of/);
  assert.match(confused(record, 0, 0), /0 test images of a 0 read correctly, of 0\.$/);
});

test("the distance of weights is the L2 norm of their difference", () => {
  assert.equal(distance([1, 2, 3], [1, -1, 7]), 5);
});
