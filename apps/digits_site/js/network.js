/** The digit network in plain JavaScript: conv, ReLU, max-pool, dense and softmax on Float32Arrays. */

/** Every layer's output, channel by channel, row by row; `field` is the side of the input patch one value depends on, `stride` its step. */
export const LAYERS = {
  conv1: { channels: 4, size: 26, field: 3, stride: 1 },
  pool1: { channels: 4, size: 13, field: 4, stride: 2 },
  conv2: { channels: 8, size: 11, field: 8, stride: 2 },
  pool2: { channels: 8, size: 5, field: 10, stride: 4 },
};
export const MAPS = Object.keys(LAYERS);

/** Names and PyTorch shapes of the weights, in file order. */
export const SHAPES = {
  "conv1.weight": [4, 1, 3, 3], "conv1.bias": [4],
  "conv2.weight": [8, 4, 3, 3], "conv2.bias": [8],
  "fc1.weight": [128, 200], "fc1.bias": [128],
  "fc2.weight": [10, 128], "fc2.bias": [10],
};
export const PARAMETERS = 27354;

/** Buffers for one forward pass; reuse them, for a frame should leave nothing to the garbage collector. */
export function activations() {
  const maps = MAPS.map((name) => [name, new Float32Array(LAYERS[name].channels * LAYERS[name].size ** 2)]);
  return {
    input: new Float32Array(784), ...Object.fromEntries(maps),
    fc1: new Float32Array(128), logits: new Float32Array(10), probabilities: new Float32Array(10),
  };
}

/**
 * Run the network on `pixels` (784 values in 0..255), filling and returning `out`.
 * Maps and hidden units are those after ReLU.
 */
export function forward(weights, pixels, { mean, std }, out = activations()) {
  for (let i = 0; i < 784; i++) out.input[i] = (pixels[i] / 255 - mean) / std;
  convolve(out.input, 28, weights["conv1.weight"], weights["conv1.bias"], out.conv1);
  pool(out.conv1, 26, out.pool1);
  convolve(out.pool1, 13, weights["conv2.weight"], weights["conv2.bias"], out.conv2);
  pool(out.conv2, 11, out.pool2);
  dense(out.pool2, weights["fc1.weight"], weights["fc1.bias"], out.fc1, 0);
  dense(out.fc1, weights["fc2.weight"], weights["fc2.bias"], out.logits, -Infinity);
  softmax(out.logits, out.probabilities);
  return out;
}

/** 3x3 convolution without padding, then ReLU: (channels, size, size) -> (bias.length, size - 2, size - 2). */
function convolve(input, size, weight, bias, out) {
  const side = size - 2;
  const channels = input.length / (size * size);
  for (let o = 0; o < bias.length; o++) {
    const start = o * side * side;
    out.fill(bias[o], start, start + side * side);
    for (let c = 0; c < channels; c++) {
      // the nine weights in local variables: a third faster than reading them at every pixel
      const [a, b, d, e, f, g, h, k, l] = weight.subarray((o * channels + c) * 9, (o * channels + c) * 9 + 9);
      for (let y = 0, at = start; y < side; y++) {
        let i = (c * size + y) * size;
        for (let x = 0; x < side; x++, i++, at++) {
          const j = i + size;
          const m = j + size;
          out[at] += a * input[i] + b * input[i + 1] + d * input[i + 2] + e * input[j] + f * input[j + 1]
            + g * input[j + 2] + h * input[m] + k * input[m + 1] + l * input[m + 2];
        }
      }
    }
  }
  for (let i = 0; i < out.length; i++) if (out[i] < 0) out[i] = 0;
}

/** 2x2 max-pool, stride 2; an odd last row or column is dropped, as PyTorch does. */
function pool(input, size, out) {
  const side = size >> 1;
  const channels = input.length / (size * size);
  for (let c = 0; c < channels; c++) {
    for (let y = 0; y < side; y++) {
      for (let x = 0; x < side; x++) {
        const i = (c * size + 2 * y) * size + 2 * x;
        out[(c * side + y) * side + x] = Math.max(input[i], input[i + 1], input[i + size], input[i + size + 1]);
      }
    }
  }
}

/** out = max(weight @ input + bias, floor). */
function dense(input, weight, bias, out, floor) {
  for (let o = 0, k = 0; o < out.length; o++) {
    let sum = bias[o];
    for (let i = 0; i < input.length; i++) sum += weight[k++] * input[i];
    out[o] = sum > floor ? sum : floor;
  }
}

function softmax(logits, out) {
  const top = Math.max(...logits);
  let sum = 0;
  for (let i = 0; i < 10; i++) sum += out[i] = Math.exp(logits[i] - top);
  for (let i = 0; i < 10; i++) out[i] /= sum;
}

/** Index of the largest value. */
export function argmax(values) {
  let best = 0;
  for (let i = 1; i < values.length; i++) if (values[i] > values[best]) best = i;
  return best;
}

/** The largest absolute value. */
export function largest(values) {
  let top = 0;
  for (let i = 0; i < values.length; i++) top = Math.max(top, Math.abs(values[i]));
  return top;
}

/**
 * Let every epoch read the same picture.
 *
 * Returns `probabilities` (one Float32Array(10) an epoch), `winners` (one digit an epoch), and `scale`: for each layer the
 * largest activation of any epoch, the shared end of the colour scale that makes epochs comparable.
 */
export function readByAll(epochs, pixels, norm, out = activations()) {
  const scale = { conv1: 0, pool1: 0, conv2: 0, pool2: 0, fc1: 0 };
  const probabilities = epochs.map((epoch) => {
    forward(epoch.weights, pixels, norm, out);
    for (const name in scale) scale[name] = Math.max(scale[name], largest(out[name]));
    return out.probabilities.slice();
  });
  return { probabilities, winners: probabilities.map(argmax), scale };
}

/** Index of the first epoch from which the answer never changes again. */
export function settledAt(winners) {
  let first = winners.length - 1;
  while (first > 0 && winners[first - 1] === winners[first]) first--;
  return first;
}

/**
 * How much the probability of `digit` falls when a grey patch hides part of the picture, yielding after each row.
 *
 * Fills and returns `drop` (784 values in -1..1): pixel i belongs to the `patch` x `patch` square centred on it.
 */
export function* occlude(weights, pixels, norm, digit, patch = 5, drop = new Float32Array(784)) {
  const out = activations();
  const before = forward(weights, pixels, norm, out).probabilities[digit];
  const half = patch >> 1;
  for (let y = 0; y < 28; y++) {
    for (let x = 0; x < 28; x++) {
      const hidden = Float32Array.from(pixels);
      for (let v = Math.max(0, y - half); v <= Math.min(27, y + half); v++) {
        hidden.fill(128, v * 28 + Math.max(0, x - half), v * 28 + Math.min(27, x + half) + 1);
      }
      drop[y * 28 + x] = before - forward(weights, hidden, norm, out).probabilities[digit];
    }
    yield drop;
  }
  return drop;
}
