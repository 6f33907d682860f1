/** The two charts over all epochs: every epoch's answer to the present picture, and how the training went. */

import { heatmap, lines } from "./charts.js";
import { moment, tick } from "./words.js";

export function every(panel, go) {
  const root = panel.querySelector("[data-chart]");
  let map;
  let filled;
  return {
    build({ data }) {
      root.replaceChildren();
      map = heatmap(root, { names: data.epochs.map(moment), epochs: data.epochs.map(tick), onPick: go });
      filled = undefined;
    },
    update({ index, reading }) {
      if (reading !== filled) map.fill(reading);
      filled = reading;
      map.move(index);
    },
  };
}

export function curves(panel, go) {
  const root = panel.querySelector("[data-chart]");
  let move = [];
  return {
    build({ data }) {
      root.replaceChildren();
      const column = (key) => data.epochs.map((record) => record[key]);
      const shared = { epochs: data.epochs.map(tick), onPick: go };
      const losses = [...column("loss"), ...column("val_loss")];
      move = [
        lines(root, { ...shared, title: "Accuracy", top: 1, format: (value, coarse) => `${(value * 100).toFixed(coarse ? 0 : 1)} %`, series: [
          { name: "training", className: "train", values: column("train_accuracy") },
          { name: "validation", className: "val", values: column("val_accuracy") },
          { name: "test", className: "test", values: column("test_accuracy") },
        ] }),
        lines(root, { ...shared, title: "Loss", top: Math.ceil(Math.max(...losses) * 2.5) / 10 * 4, format: (value, coarse) => value.toFixed(coarse ? 1 : 3), height: 140, series: [
          { name: "training", className: "train", values: column("loss") },
          { name: "validation", className: "val", values: column("val_loss") },
        ] }),
      ];
    },
    update: ({ index }) => move.forEach((to) => to(index)),
  };
}
