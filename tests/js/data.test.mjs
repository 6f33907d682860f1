import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import test from "node:test";

import { BadExport, fetchExport, halves, readFiles, unpack } from "../../apps/digits_site/js/data.js";
import { PARAMETERS } from "../../apps/digits_site/js/network.js";
import { files, shipped } from "./shipped.mjs";

const { text, buffer } = await files();
const sha = (bytes) => createHash("sha256").update(new Uint8Array(bytes)).digest("hex");

/** Refused with a sentence when `change(index, bytes)` has been at it; `bytes` is a copy that may be changed, too. */
async function refused(change, pattern, { rehash = false } = {}) {
  const index = JSON.parse(text);
  let bytes = buffer.slice();
  bytes = change(index, bytes) ?? bytes;
  if (rehash) Object.assign(index, { sha256: sha(bytes) });
  await assert.rejects(unpack(JSON.stringify(index), async () => bytes), (error) => {
    assert.ok(error instanceof BadExport, String(error.stack));
    assert.match(error.message, pattern);
    return true;
  });
}

test("the shipped export passes, with images where the format says", async () => {
  const data = await shipped();
  const index = JSON.parse(text);
  assert.ok(data.agreement < 1e-4);
  const bytes = Buffer.from(index.samples, "base64");
  assert.deepEqual(Buffer.from(data.samples[7][2]), bytes.subarray(72 * 784, 73 * 784));
  assert.equal(data.misread.length, index.misread.length);
});

test("half precision is decoded as IEEE 754 says", () => {
  const known = [[0x0000, 0], [0x8001, -(2 ** -24)], [0x03ff, 1023 * 2 ** -24], [0x0400, 2 ** -14], [0x3c00, 1], [0xc000, -2], [0x3555, 0.333251953125],
    [0x7bff, 65504], [0x7c00, Infinity], [0xfe00, NaN]];
  const view = new DataView(new ArrayBuffer(2 + 2 * known.length));
  known.forEach(([bits], i) => view.setUint16(2 + 2 * i, bits, true));
  assert.deepEqual([...halves(view.buffer, 2, known.length)], known.map(([, value]) => value));
});

test("float32 weights read the same answers", async () => {
  const index = JSON.parse(text);
  const half = await shipped();
  const values = half.epochs.flatMap(({ weights }) => index.tensors.flatMap(({ name }) => [...weights[name]]));
  const bytes = new ArrayBuffer(values.length * 4);
  const view = new DataView(bytes);
  values.forEach((value, i) => view.setFloat32(4 * i, value, true));
  Object.assign(index, { dtype: "float32", bytes: bytes.byteLength, sha256: sha(bytes) });
  const full = await unpack(JSON.stringify(index), async () => bytes);
  assert.deepEqual(full.epochs.at(-1).weights, half.epochs.at(-1).weights);
});

test("each fault is refused with its own sentence", async () => {
  await refused((index) => { index.format = "something"; }, /not an export of the digit explorer/);
  await refused((index) => { index.format = "vision-core-digits-json"; }, /document form.*packed form/);
  await refused((index) => { index.version = 1; }, /version 1; this page reads version 2/);
  await refused((index) => { delete index.version; }, /version/);
  await refused((index) => { index.version = 1.5; }, /version 1.5; this page reads version 2/);
  await refused((index) => { index.dtype = "int8"; }, /float16/);
  await refused((index) => { index.dtype = "toString"; }, /float16/);
  await refused((index) => { index.binary = "../secret.bin"; }, /plain name/);
  await refused((index) => { index.tensors[0].shape = [8, 1, 3, 3]; }, /another network/);
  await refused((index) => { index.std = 0; }, /mean or std/);
  await refused((index) => { index.epochs = []; }, /no epoch/);
  await refused((index) => { index.epochs[4].loss = null; }, /number 4 .*"loss"/);
  await refused((index) => { index.epochs[1].epoch = 0; }, /rising order/);
  await refused((index) => { index.epochs[1].batch = "x"; }, /damaged "batch"/);
  await refused((index) => { index.epochs[2].confusion[3].pop(); }, /tables of batch 2/);
  await refused((index) => { index.misread[0].predicted.pop(); }, /misread/);
  await refused((index) => { index.samples = index.samples.slice(0, 400); }, /sample images has 300 bytes/);
  await refused((index) => { index.probe = "%%%"; }, /probe is not valid base64/);
  await refused((index) => { index.training = null; }, /training/);
  await refused((index, bytes) => bytes.slice(0, 1000), /1,000 bytes where 1,477,116/);
  await refused((index, bytes) => { new Uint8Array(bytes)[5] ^= 1; }, /checksum/);
  await refused((index, bytes) => { new DataView(bytes).setUint16(2 * PARAMETERS * 3, 0x7e00, true); }, /batch 5 contain NaN/, { rehash: true });
  await refused((index, bytes) => { new Uint8Array(bytes).reverse(); }, /contain NaN|do not give the answers/, { rehash: true });
  await refused((index) => { index.epochs[0].probe_logits[0] += 1; }, /same export/);
});

test("broken JSON is told from NaN in it", async () => {
  const load = (index) => unpack(index, async () => buffer);
  await assert.rejects(load(text.slice(0, 5000)), /cut off/);
  await assert.rejects(load(""), /cut off/);
  await assert.rejects(load("null"), /not an export/);
  await assert.rejects(load("[]"), /not an export/);
  await assert.rejects(load(text.replace(/"loss":[0-9.e-]+/, '"loss":NaN')), /NaN/);
});

test("picked files: both are needed, in any order, under any name", async () => {
  const index = new File([text], "mine.json");
  const binary = new File([buffer], "renamed.bin");
  assert.equal((await readFiles([binary, index])).epochs.length, 27);
  await assert.rejects(readFiles([index]), /choose it together with digits\.bin/);
  await assert.rejects(readFiles([binary]), /two files/);
});

test("data comes from the page's own site only", async () => {
  await assert.rejects(fetchExport("https://elsewhere.example/x.json", "http://here.example/"), /from this site, not from elsewhere\.example/);
  await assert.rejects(fetchExport("http://[", "http://here.example/"), /valid URL/);
});
