/** Reading an export (index JSON + binary weights) and refusing a bad one with one clear sentence. */

import { PARAMETERS, SHAPES, forward } from "./network.js";
import { moment } from "./words.js";

const FORMAT = "vision-core-digits";
const MAX_INDEX = 16 << 20;
const MAX_BINARY = 256 << 20;

/** A fault of the file or of its transport, worded for the reader of the page. */
export class BadExport extends Error {}

/**
 * Check an export and unpack it.
 *
 * `text` is the index, `fetchBinary(name)` gives the binary's ArrayBuffer. The answer holds `epochs` (the index's records
 * with `weights` added: name -> Float32Array), `samples[digit][n]`, `misread[n].image` and `probe` (Uint8Array(784) each),
 * `norm` and `training`. Throws BadExport.
 */
export async function unpack(text, fetchBinary) {
  const index = parse(text);
  checkIndex(index);
  const buffer = await fetchBinary(index.binary);
  await checkBinary(index, buffer);
  const data = {
    norm: { mean: index.mean, std: index.std },
    epochs: index.epochs.map((record, i) => ({ ...record, weights: weightsOf(index, buffer, i) })),
    samples: samplesOf(index),
    misread: index.misread.map((m) => ({ ...m, image: pixels(m.image, 784, "misread image") })),
    probe: pixels(index.probe, 784, "probe"),
    training: index.training,
  };
  data.agreement = agreement(data);
  if (!(data.agreement < 0.01)) {
    refuse(`The weights do not give the answers written beside them (they differ by ${data.agreement.toPrecision(2)}): `
      + "index and binary are not from the same export.");
  }
  return data;
}

/** Fetch an export by the URL of its index; only from this page's own origin. */
export async function fetchExport(url, base = document.baseURI) {
  let address;
  try {
    address = new URL(url, base);
  } catch {
    refuse("The address in ?data= is not a valid URL.");
  }
  if (address.origin !== new URL(base).origin) refuse(`The data must come from this site, not from ${address.host}.`);
  const get = async (where) => {
    const answer = await fetch(where).catch(() => refuse(`${fileName(where)} could not be fetched.`));
    if (!answer.ok) refuse(`${fileName(where)} could not be fetched (the server answers ${answer.status}).`);
    return answer;
  };
  const text = await (await get(address)).text();
  return unpack(text, async (name) => (await get(new URL(name, address))).arrayBuffer());
}

/** Read an export from the files a person picked or dropped: the index and its binary. */
export async function readFiles(files) {
  const list = [...files];
  const index = list.find((file) => /\.json$/i.test(file.name));
  if (!index) refuse("Choose the two files of an export together: the .json index and its .bin.");
  if (index.size > MAX_INDEX) refuse(`${index.name} is too large for an index of weights (more than 16 MB).`);
  return unpack(await index.text(), async (name) => {
    const binary = list.find((file) => file.name === name) ?? list.find((file) => /\.bin$/i.test(file.name));
    if (!binary) refuse(`${index.name} needs its weights: choose it together with ${name}.`);
    if (binary.size > MAX_BINARY) refuse(`${binary.name} is too large (more than 256 MB).`);
    return binary.arrayBuffer();
  });
}

function refuse(sentence) {
  throw new BadExport(sentence);
}

function fileName(url) {
  return decodeURIComponent(url.pathname.split("/").pop());
}

function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    if (/[[:,]\s*-?(NaN|Infinity)\b/.test(text)) refuse("The index contains NaN or infinity: this training did not stay finite.");
    return refuse("The index is not complete JSON: the file is damaged or was cut off.");
  }
}

function checkIndex(index) {
  if (index?.format === "vision-core-digits-json") {
    refuse("This is the document form of an export; the page needs the packed form, a .json index with its .bin.");
  }
  if (index?.format !== FORMAT) refuse(`This is not an export of the digit explorer (its "format" is not "${FORMAT}").`);
  if (index.version !== 2) refuse(`The export has version ${JSON.stringify(index.version)}; this page reads version 2.`);
  if (!Object.hasOwn(DECODERS, index.dtype)) refuse('The export\'s "dtype" must be "float16" or "float32".');
  if (!/^[\w][\w.-]*$/.test(index.binary)) refuse('The export\'s "binary" must be the plain name of a file beside the index.');
  const shapes = (index.tensors ?? []).map((t) => `${t.name} ${t.shape}`).join("; ");
  if (shapes !== Object.entries(SHAPES).map(([name, shape]) => `${name} ${shape}`).join("; ") || index.values_per_epoch !== PARAMETERS) {
    refuse("The export holds another network: this page draws conv 1-4-8, dense 128, dense 10 (27,354 values).");
  }
  if (![index.mean, index.std].every(Number.isFinite) || index.std <= 0) refuse("The export's mean or std is not a usable number.");
  if (!Array.isArray(index.epochs) || index.epochs.length === 0) refuse("The export holds no epoch.");
  index.epochs.forEach(checkEpoch);
  const misread = Array.isArray(index.misread)
    && index.misread.every((m) => isDigit(m.true) && m.predicted?.length === index.epochs.length && m.predicted.every(isDigit));
  if (!misread) refuse('The export\'s "misread" list is damaged.');
  if (typeof index.training !== "object" || index.training === null) refuse('The export does not say how it was trained ("training").');
}

const isDigit = (value) => Number.isInteger(value) && value >= 0 && value <= 9;
const isRow = (row) => Array.isArray(row) && row.length === 10 && row.every(Number.isFinite);

function checkEpoch(record, i, all) {
  const numbers = ["epoch", "loss", "val_loss", "train_accuracy", "val_accuracy", "test_accuracy"];
  for (const key of numbers) {
    if (!Number.isFinite(record?.[key])) refuse(`Epoch number ${i} of the export has no finite "${key}".`);
  }
  if (record.batch !== undefined && !(Number.isInteger(record.batch) && record.batch > 0)) refuse(`Epoch number ${i} of the export has a damaged "batch".`);
  if (i && record.epoch <= all[i - 1].epoch) refuse("The export's epochs are not in rising order.");
  if (!isRow(record.per_class) || !isRow(record.probe_logits) || record.confusion?.length !== 10 || !record.confusion.every(isRow)) {
    refuse(`The tables of ${moment(record)} are damaged.`);
  }
}

async function checkBinary(index, buffer) {
  const expected = index.epochs.length * PARAMETERS * DECODERS[index.dtype].bytes;
  if (buffer.byteLength !== expected || index.bytes !== expected) {
    refuse(`${index.binary} has ${buffer.byteLength.toLocaleString("en")} bytes where ${expected.toLocaleString("en")} were expected.`);
  }
  const subtle = globalThis.crypto?.subtle; // absent on plain http addresses other than localhost
  if (!subtle) return;
  const digest = new Uint8Array(await subtle.digest("SHA-256", buffer));
  const hex = Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
  if (hex !== index.sha256) refuse(`${index.binary} does not match its checksum: it was changed or belongs to another export.`);
}

function weightsOf(index, buffer, epoch) {
  const { bytes, decode } = DECODERS[index.dtype];
  const values = decode(buffer, epoch * PARAMETERS * bytes, PARAMETERS);
  if (!values.every(Number.isFinite)) {
    refuse(`The weights of ${moment(index.epochs[epoch])} contain NaN or infinity: this training did not stay finite.`);
  }
  const weights = {};
  for (const { name, shape, offset } of index.tensors) {
    const count = shape.reduce((a, b) => a * b);
    weights[name] = values.subarray(offset, offset + count);
    if (weights[name].length !== count) refuse(`The export's offset of ${name} is wrong.`);
  }
  return weights;
}

function samplesOf(index) {
  const bytes = pixels(index.samples, 100 * 784, "sample images");
  return Array.from({ length: 10 }, (_, digit) =>
    Array.from({ length: 10 }, (_, n) => bytes.subarray((digit * 10 + n) * 784, (digit * 10 + n + 1) * 784)));
}

function pixels(base64, length, what) {
  let bytes;
  try {
    bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
  } catch {
    refuse(`The export's ${what} is not valid base64.`);
  }
  if (bytes.length !== length) refuse(`The export's ${what} has ${bytes.length} bytes where ${length} were expected.`);
  return bytes;
}

/** Largest difference between this page's logits and PyTorch's, over all epochs, on the probe picture. */
export function agreement({ epochs, probe, norm }) {
  return Math.max(...epochs.map(({ weights, probe_logits }) => {
    const { logits } = forward(weights, probe, norm);
    return Math.max(...probe_logits.map((logit, i) => Math.abs(logit - logits[i])));
  }));
}

const DECODERS = {
  float16: { bytes: 2, decode: halves },
  float32: { bytes: 4, decode: singles },
};

function singles(buffer, offset, count) {
  const view = new DataView(buffer, offset);
  return Float32Array.from({ length: count }, (_, i) => view.getFloat32(4 * i, true));
}

/** Decode IEEE 754 half precision: sign 1, exponent 5 (bias 15), fraction 10 bits. */
export function halves(buffer, offset, count) {
  const view = new DataView(buffer, offset);
  const out = new Float32Array(count);
  for (let i = 0; i < count; i++) {
    const bits = view.getUint16(2 * i, true);
    const exponent = (bits >> 10) & 31;
    const fraction = bits & 1023;
    const size = exponent === 31 ? (fraction ? NaN : Infinity)
      : exponent ? (1 + fraction / 1024) * 2 ** (exponent - 15) : fraction * 2 ** -24;
    out[i] = bits & 0x8000 ? -size : size;
  }
  return out;
}
