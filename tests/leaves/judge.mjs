// Prints what the page answers to pixels: node judge.mjs SITE PIXELS, float32 (N, 3, crop, crop) in [0, 1].
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const [site, pixels] = process.argv.slice(2);
const { judge, read } = await import(pathToFileURL(`${site}/js/network.js`));
const bytes = (path) => { const file = readFileSync(path); return file.buffer.slice(file.byteOffset, file.byteOffset + file.length); };
const net = read(JSON.parse(readFileSync(`${site}/data/leaves.json`, "utf8")), bytes(`${site}/data/leaves.bin`));
const all = new Float32Array(bytes(pixels)), size = 3 * net.crop * net.crop, found = [];
for (let at = 0; at < all.length; at += size) found.push(judge(net, all.subarray(at, at + size)));
console.log(JSON.stringify(found));
