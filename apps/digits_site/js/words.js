/** The sentences of the page about the current picture. */

import { settledAt } from "./network.js";

/** A share of 0..1 in per cent, never rounded to 0 or 100 % unless exact. */
export function percent(share) {
  if (share > 0 && share < 0.001) return "<\u00a00.1\u00a0%";
  if (share < 1 && share > 0.999) return ">\u00a099.9\u00a0%";
  return `${(share * 100).toFixed(1)}\u00a0%`;
}

/** What a record is called: "epoch 3", or "batch 5" for a moment of the first epoch. */
export const moment = ({ epoch, batch }) => (batch ? `batch ${batch}` : `epoch ${epoch}`);

/** The same for a narrow place: "3" or "b5". */
export const tick = ({ epoch, batch }) => (batch ? `b${batch}` : String(epoch));

const capital = (text) => text[0].toUpperCase() + text.slice(1);

/** When the network understood the picture: `names` are those of its records, `winners` the answer at each; `label` if it is known. */
export function understood(names, winners, label = null) {
  const first = settledAt(winners);
  const answer = winners.at(-1);
  const wrong = label !== null && label !== answer;
  const verdict = wrong ? ` But it is a ${label}: this training never learned it for good.` : "";
  if (names.length === 1) return `The only epoch here reads it as ${answer}.${verdict}`;
  if (first === 0) return `It reads ${answer} from the start, at ${names[0]}, and never changes.${verdict}`;
  const before = `at ${names[first - 1]} it still read ${winners[first - 1]}.`;
  if (first === names.length - 1) return `Only the last step, ${names[first]}, reads it as ${answer}; ${before}${verdict}`;
  const since = `From ${names[first]} on it reads ${answer}; ${before}`;
  if (label === null) return `${since} If that is what you drew, this is when the network learned it.`;
  return wrong ? since + verdict : `Learned at ${names[first]}: from then on it reads ${answer}; ${before}`;
}

/** One cell of a confusion matrix in words. */
export function confused(record, truth, answer) {
  const total = record.confusion[truth].reduce((a, b) => a + b, 0);
  const count = record.confusion[truth][answer];
  const share = total ? ` (${percent(count / total)})` : "";
  const images = count === 1 ? "1 test image" : `${count.toLocaleString("en")} test images`;
  return truth === answer
    ? `${capital(moment(record))}: ${images} of a ${truth} read correctly, of ${total.toLocaleString("en")}${share}.`
    : `${capital(moment(record))}: ${images} of a ${truth} misread as ${answer}, of ${total.toLocaleString("en")}${share}.`;
}

/** What is known of the training, for the foot of the page. */
export function provenance({ training, agreement, epochs }) {
  const count = (value) => (Number.isFinite(value) ? value.toLocaleString("en") : "?");
  const last = epochs.at(-1);
  return `Trained on ${training.data ?? "unnamed data"}: ${count(training.train_images)} images, ${count(training.epochs)} epochs of `
    + `${count(training.batches)} batches of ${count(training.batch_size)}, Adam ${training.lr ?? "?"}, seed ${training.seed ?? "?"}; `
    + `${percent(last.test_accuracy)} of ${count(training.test_images)} test images right at ${moment(last)}. `
    + `Checked as it loaded: on the probe picture this page and PyTorch differ by at most ${agreement.toExponential(0)}.`;
}
