// The page: reads pictures, asks the network, shows the answers, and saves them as one picture.
import { judge, read } from "./network.js";

const state = document.querySelector("#state"), list = document.querySelector("#answers");
const inputs = [document.querySelector("#file"), document.querySelector("#camera")];
const save = document.querySelector("#save");
let net = null;

async function load() {
  const [index, numbers] = await Promise.all(["data/leaves.json", "data/leaves.bin"].map((name) => fetch(name)));
  if (!index.ok || !numbers.ok) throw new Error("data/leaves.json and data/leaves.bin are not there");
  net = read(await index.json(), await numbers.arrayBuffer());
  inputs.forEach((input) => (input.disabled = false));
  state.textContent = "Ready. Nothing that you choose is sent anywhere.";
}

/** The middle square as the network wants it: resized to `square`, of it the middle `crop`. */
function pixelsOf(image) {
  const canvas = document.createElement("canvas"), side = Math.min(image.width, image.height);
  canvas.width = canvas.height = net.square;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.imageSmoothingQuality = "high";
  context.drawImage(image, (image.width - side) / 2, (image.height - side) / 2, side, side, 0, 0, net.square, net.square);
  const edge = (net.square - net.crop) / 2, { data } = context.getImageData(edge, edge, net.crop, net.crop);
  const area = net.crop * net.crop, pixels = new Float32Array(3 * area);
  for (let i = 0; i < area; i++) for (let c = 0; c < 3; c++) pixels[c * area + i] = data[4 * i + c] / 255;
  return { canvas, pixels };
}

export function plain(label) {
  return label.replace("___", ", ").replaceAll("_", " ");
}

function show(name, canvas, found) {
  const order = found.probabilities.map((share, i) => [share, net.classes[i]]).sort((a, b) => b[0] - a[0]);
  const known = found.oodScore <= 1, item = document.createElement("li"), told = document.createElement("div");
  item.className = known ? "known" : "unknown";
  const title = document.createElement("h2"), note = document.createElement("p");
  title.textContent = known ? `${plain(order[0][1])}, ${percent(order[0][0])}` : "Not a known kind of leaf";
  note.className = "note";
  note.textContent = `${name}. Out-of-distribution score ${found.oodScore.toFixed(2)}, known up to 1.`
    + (known ? "" : " The closest class is the first below; do not rely on it.");
  told.append(title, note);
  for (const [share, label] of order.slice(0, 3)) {
    const row = document.createElement("div"), meter = document.createElement("meter");
    row.className = "share";
    meter.value = share;
    meter.setAttribute("aria-label", `${plain(label)}, probability`);
    row.append(text(plain(label)), text(percent(share)), meter);
    told.append(row);
  }
  item.append(canvas, told);
  list.prepend(item);
  save.hidden = false;
}

const percent = (share) => `${(100 * share).toFixed(1)} %`;

function text(words) {
  const span = document.createElement("span");
  span.textContent = words;
  return span;
}

async function ask(files) {
  let number = 0;
  for (const file of files) {
    state.textContent = `Looking at ${file.name}, ${++number} of ${files.length} …`;
    await new Promise((done) => setTimeout(done, 30));  // or the words would not be seen
    try {
      const image = await createImageBitmap(file, { imageOrientation: "from-image" });
      const { canvas, pixels } = pixelsOf(image);
      image.close();
      show(file.name, canvas, judge(net, pixels));
    } catch {
      list.prepend(Object.assign(document.createElement("li"), { textContent: `${file.name} cannot be read as a picture.` }));
    }
  }
  state.textContent = `${number} answered. Nothing was sent anywhere.`;
}

function saveAsPicture() {
  const items = [...list.querySelectorAll("li:has(canvas)")], high = 190, canvas = document.createElement("canvas");
  canvas.width = 900;
  canvas.height = 40 + high * items.length;
  const context = canvas.getContext("2d");
  context.fillStyle = "#fff";
  context.fillRect(0, 0, canvas.width, canvas.height);
  items.forEach((item, i) => {
    const top = 20 + i * high;
    context.drawImage(item.querySelector("canvas"), 20, top, 170, 170);
    context.fillStyle = item.className === "known" ? "#176b3b" : "#8a4b00";
    context.font = "600 22px system-ui, sans-serif";
    context.fillText(item.querySelector("h2").textContent, 215, top + 28, 660);
    context.fillStyle = "#444";
    context.font = "15px system-ui, sans-serif";
    context.fillText(item.querySelector(".note").textContent, 215, top + 54, 660);
    item.querySelectorAll(".share").forEach((row, n) => {
      const [label, share] = row.querySelectorAll("span");
      context.fillText(`${label.textContent}  ${share.textContent}`, 215, top + 84 + 24 * n, 660);
    });
  });
  canvas.toBlob((blob) => {
    const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(blob), download: "leaves.png" });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  });
}

inputs.forEach((input) => input.addEventListener("change", () => ask([...input.files]).then(() => (input.value = ""))));
save.addEventListener("click", saveAsPicture);
load().catch((error) => (state.textContent = `The network could not be loaded: ${error.message}. Open the page through a file server.`));
