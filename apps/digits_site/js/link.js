/** The page's state as the text after # in its address. */

import { pack, unpack } from "./drawing.js";

/**
 * State -> hash. State: {epoch, compare (number or null), centred, source}, where source is
 * {kind: "draw"}, {kind: "sample", digit, n} or {kind: "misread", n}; epochs are epoch numbers, fractions for moments of the first one.
 */
export function toHash({ epoch, compare, centred, source }, strokes) {
  const parts = new URLSearchParams({ e: epoch });
  if (source.kind === "sample") parts.set("s", `${source.digit}.${source.n}`);
  if (source.kind === "misread") parts.set("m", source.n);
  if (compare !== null) parts.set("vs", compare);
  if (!centred) parts.set("c", 0);
  const drawn = pack(strokes);
  if (drawn) parts.set("d", drawn);
  return `#${parts}`;
}

/** Hash -> what it names, keys it does not name left out; nonsense is ignored. */
export function fromHash(hash) {
  const parts = new URLSearchParams(hash.replace(/^#/, ""));
  const state = {};
  for (const [key, name] of [["e", "epoch"], ["vs", "compare"]]) {
    if (/^\d{1,6}(\.\d{1,6})?$/.test(parts.get(key) ?? "")) state[name] = Number(parts.get(key));
  }
  const sample = /^(\d)\.(\d)$/.exec(parts.get("s") ?? "");
  const misread = /^\d{1,4}$/.exec(parts.get("m") ?? "");
  if (sample) state.source = { kind: "sample", digit: Number(sample[1]), n: Number(sample[2]) };
  else if (misread) state.source = { kind: "misread", n: Number(misread[0]) };
  else if (parts.has("d")) state.source = { kind: "draw" };
  if (parts.has("c")) state.centred = parts.get("c") !== "0";
  if (parts.has("d")) state.strokes = unpack(parts.get("d"));
  return state;
}
