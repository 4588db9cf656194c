// Curves of a run: one line per name over its steps or epochs.

import { drawn, element } from "../dom.js";

const WIDTH = 600, HEIGHT = 120;

/** series: [[x, y], …], at least two points; unit: "%" or "". */
export function curve(title, series, unit = "") {
  const [xs, ys] = [0, 1].map(axis => series.map(point => point[axis]));
  const [left, right, low, high] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
  const points = series.map(([x, y]) =>
    `${((x - left) / (right - left || 1) * WIDTH).toFixed(1)},${(HEIGHT - 4 - (y - low) / (high - low || 1) * (HEIGHT - 8)).toFixed(1)}`);
  const last = `${ys.at(-1).toFixed(unit ? 1 : 3)} ${unit}`.trim();
  const picture = drawn("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": `${title}, now ${last}` },
    drawn("polyline", { points: points.join(" ") }));
  picture.classList.add("tall");
  return element("figure", {}, element("figcaption", {}, `${title}: ${last}`), picture);
}
