import assert from "node:assert/strict";
import test from "node:test";

import { distance } from "../../apps/digits_site/js/compare.js";
import { confused, moment, percent, provenance, tick, understood } from "../../apps/digits_site/js/words.js";

test("the sentence names the moment from which the answer stays", () => {
  const names = ["epoch 0", "batch 5", "epoch 1", "epoch 2"];
  assert.match(understood(names, [1, 2, 7, 7], 7), /^Learned at epoch 1: .* reads 7; at batch 5 it still read 2\.$/);
  assert.match(understood(names, [1, 7, 7, 7]), /^From batch 5 on it reads 7; at epoch 0 .* If that is what you drew/);
  assert.match(understood(names, [1, 2, 7, 7], 4), /But it is a 4: this training never learned it/);
  assert.match(understood(names, [7, 7, 7, 7], 7), /^It reads 7 from the start/);
  assert.match(understood(names, [7, 7, 7, 1], 1), /^Only the last step, epoch 2, reads it as 1; at epoch 1 it still read 7/);
  assert.match(understood(["epoch 5"], [3]), /^The only epoch here reads it as 3/);
  assert.deepEqual([{ epoch: 3 }, { epoch: 0.05, batch: 5 }].map((record) => [moment(record), tick(record)]), [["epoch 3", "3"], ["batch 5", "b5"]]);
});

test("a training stopped in its first epoch is told as the batch it reached", () => {
  const last = { epoch: 0.05, batch: 5, test_accuracy: 0.35 };
  assert.match(provenance({ training: {}, agreement: 1e-6, epochs: [last] }), /test images right at batch 5\./);
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
