/** The export that comes with the page, for the tests. */

import { readFile } from "node:fs/promises";

import { unpack } from "../../apps/digits_site/js/data.js";

const folder = new URL("../../apps/digits_site/data/", import.meta.url);

export async function files() {
  const binary = await readFile(new URL("digits.bin", folder));
  return {
    text: await readFile(new URL("digits.json", folder), "utf8"),
    buffer: binary.buffer.slice(binary.byteOffset, binary.byteOffset + binary.byteLength),
  };
}

export async function shipped() {
  const { text, buffer } = await files();
  return unpack(text, async () => buffer);
}
