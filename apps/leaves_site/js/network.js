// The leaf classifier in plain JavaScript: MobileNetV2's features, a linear head, and the gate that refuses.

/** A network from its index (leaves.json) and its numbers (leaves.bin, little-endian float16). */
export function read(index, buffer) {
  if (index.format !== 3) throw new Error(`this page reads format 3, not ${index.format}`);
  const halves = new Uint16Array(buffer);
  const tensors = {};
  for (const [name, { offset, shape }] of Object.entries(index.tensors)) {
    const size = shape.reduce((a, b) => a * b, 1);
    if (offset + size > halves.length) throw new Error(`leaves.bin ends before ${name}`);
    const values = new Float32Array(size);
    for (let i = 0; i < size; i++) values[i] = half(halves[offset + i]);
    tensors[name] = values;
  }
  return { ...index, tensors, shapes: index.tensors };
}

function half(bits) {
  const sign = bits & 0x8000 ? -1 : 1, exponent = (bits >> 10) & 31, fraction = bits & 1023;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

/** Class probabilities and out-of-distribution score, known up to 1, of pixels (3, crop, crop) in [0, 1]. */
export function judge(net, pixels) {
  const sizes = [[pixels, net.crop]];
  if (net.reduced) sizes.push([resized(pixels, net.crop, net.reduced), net.reduced]);
  const views = sizes.flatMap(([view, side]) => [embed(net, view, side), embed(net, mirrored(view, side), side)]);
  return answer(net, views[0].map((_, i) => views.reduce((sum, view) => sum + view[i], 0) / views.length));
}

/** Bilinear, without going below half of the size. */
function resized(pixels, side, small) {
  const found = new Float32Array(3 * small * small), scale = side / small;
  const taps = Array.from({ length: small }, (_, i) => {
    const at = Math.max(0, (i + 0.5) * scale - 0.5), low = Math.floor(at);
    return [low, Math.min(low + 1, side - 1), at - low];
  });
  for (let c = 0; c < 3; c++)
    for (let y = 0; y < small; y++)
      for (let x = 0; x < small; x++) {
        const [top, bottom, down] = taps[y], [left, right, across] = taps[x];
        const row = (v) => {
          const from = (c * side + v) * side;
          return pixels[from + left] * (1 - across) + pixels[from + right] * across;
        };
        found[(c * small + y) * small + x] = row(top) * (1 - down) + row(bottom) * down;
      }
  return found;
}

function mirrored(pixels, side) {
  const found = new Float32Array(pixels.length);
  for (let row = 0; row < 3 * side; row++)
    for (let x = 0; x < side; x++) found[row * side + x] = pixels[row * side + side - 1 - x];
  return found;
}

/** Means of the described layers' maps, their spreads, and the means of the last. */
export function embed(net, pixels, side) {
  let x = new Float32Array(pixels.length);
  const area = side * side, means = [], spreads = [];
  for (let c = 0; c < 3; c++)
    for (let i = 0; i < area; i++) x[c * area + i] = (pixels[c * area + i] - net.mean[c]) / net.std[c];
  let last = [];
  for (const block of net.blocks) {
    const before = x;
    for (const step of block.steps) {
      const weight = net.tensors[step.weight], bias = net.tensors[step.bias];
      const [out] = net.shapes[step.weight].shape;
      const small = Math.ceil(side / step.stride);
      x = step.kind === "pointwise" ? pointwise(x, weight, bias, out, side * side)
        : windows(x, weight, bias, out, side, step.stride, step.kind === "depthwise");
      if (step.clipped) for (let i = 0; i < x.length; i++) x[i] = x[i] < 0 ? 0 : x[i] > 6 ? 6 : x[i];
      side = small;
    }
    if (block.residual) for (let i = 0; i < x.length; i++) x[i] += before[i];
    if (block.described) {
      means.push(...last);
      const described = describe(x, side * side);
      last = described.means;
      if (block !== net.blocks.at(-1)) spreads.push(...described.spreads);
    }
  }
  return Float64Array.from([...means, ...spreads, ...last]);
}

function describe(x, area) {
  const means = [], spreads = [];
  for (let start = 0; start < x.length; start += area) {
    let sum = 0, squares = 0;
    for (let i = start; i < start + area; i++) sum += x[i];
    const mean = sum / area;
    for (let i = start; i < start + area; i++) squares += (x[i] - mean) ** 2;
    means.push(mean);
    spreads.push(Math.sqrt(squares / area + 1e-6));
  }
  return { means, spreads };
}

function pointwise(x, weight, bias, out, area) {
  const inner = x.length / area, y = new Float32Array(out * area);
  for (let o = 0; o < out; o++) {
    const row = y.subarray(o * area, (o + 1) * area).fill(bias[o]);
    for (let c = 0; c < inner; c++) {
      const w = weight[o * inner + c], from = c * area;
      for (let i = 0; i < area; i++) row[i] += w * x[from + i];
    }
  }
  return y;
}

function windows(x, weight, bias, out, side, stride, depthwise) {
  const small = Math.ceil(side / stride), area = side * side, y = new Float32Array(out * small * small);
  const inner = depthwise ? 1 : x.length / area;
  for (let o = 0; o < out; o++)
    for (let v = 0; v < small; v++)
      for (let u = 0; u < small; u++) {
        let sum = bias[o];
        for (let c = 0; c < inner; c++) {
          const from = (depthwise ? o : c) * area, kernel = (o * inner + c) * 9;
          for (let dy = 0; dy < 3; dy++) {
            const py = v * stride + dy - 1;
            if (py < 0 || py >= side) continue;
            for (let dx = 0; dx < 3; dx++) {
              const px = u * stride + dx - 1;
              if (px >= 0 && px < side) sum += weight[kernel + dy * 3 + dx] * x[from + py * side + px];
            }
          }
        }
        y[(o * small + v) * small + u] = sum;
      }
  return y;
}

/** What an embedding means. */
export function answer(net, embedding) {
  const t = net.tensors, count = net.classes.length, width = embedding.length;
  const logits = product(t.head, embedding, count, width).map((value, i) => value + t.bias[i]);
  const most = Math.max(...logits), powers = logits.map((value) => Math.exp(value - most));
  const total = powers.reduce((a, b) => a + b);
  const z = embedding.map((value, i) =>
    Math.max(-net.clipped, Math.min(net.clipped, (value - t.feature_mean[i]) / t.feature_std[i])));
  const axes = t["gate.variance"].length, inside = new Float64Array(axes), white = new Float64Array(axes);
  for (let i = 0; i < width; i++)
    for (let k = 0; k < axes; k++) inside[k] += z[i] * t["gate.axes"][i * axes + k];
  for (let i = 0; i < axes; i++)
    for (let k = 0; k < axes; k++) white[k] += inside[i] * t["gate.whitening"][i * axes + k];
  let nearest = Infinity, overall = 0, rest = 0;
  for (let c = 0; c < count; c++) {
    let away = 0;
    for (let k = 0; k < axes; k++) away += (white[k] - t["gate.means"][c * axes + k]) ** 2;
    nearest = Math.min(nearest, away);
  }
  for (let k = 0; k < axes; k++) overall += inside[k] ** 2 / t["gate.variance"][k];
  for (let i = 0; i < width; i++) {
    let back = 0;
    for (let k = 0; k < axes; k++) back += inside[k] * t["gate.axes"][i * axes + k];
    rest += (z[i] - back) ** 2;
  }
  const leaves = t["gate.leaves"].length / axes, length = Math.hypot(...white);
  const alike = Math.max(...product(t["gate.leaves"], white, leaves, axes)) / length;
  const parts = [nearest - overall, 1 - alike];
  const first = parts.reduce((sum, part, i) => sum + (part - t["gate.offset"][i]) / t["gate.scale"][i], 0);
  const oodScore = Math.max(first / t["gate.limits"][0], Math.sqrt(rest) / t["gate.limits"][1]);
  return { probabilities: [...powers].map((power) => power / total), oodScore };
}

function product(matrix, vector, rows, width) {
  const found = new Float64Array(rows);
  for (let r = 0; r < rows; r++) {
    let sum = 0;
    for (let i = 0; i < width; i++) sum += matrix[r * width + i] * vector[i];
    found[r] = sum;
  }
  return found;
}
