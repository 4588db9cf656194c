// When labels are seen: a curve of similarity for each label, its segments, and the place of the player.

import { clock, drawn, element } from "../dom.js";

const WIDTH = 1000, HEIGHT = 40, SHOWN = 8;

/** timeline: as in an answer; duration: seconds; seek: shows a time in the player. */
export function showTimeline(place, timeline, duration, seek) {
  const labels = Object.keys(timeline.similarities).sort((a, b) => peak(timeline, b) - peak(timeline, a)).slice(0, SHOWN);
  const values = labels.flatMap(label => timeline.similarities[label]);
  const low = Math.min(...values), high = Math.max(...values);
  const y = value => HEIGHT - 2 - (value - low) / (high - low || 1) * (HEIGHT - 4);
  const x = time => Math.min(time / (duration || 1), 1) * WIDTH;
  const segments = timeline.segments.length
    ? element("ul", { className: "segments" }, ...timeline.segments.map(each => element("li", {},
      element("button", { type: "button", className: "plain", onclick: () => seek(each.start) },
        `${each.label}, ${clock(each.start)} to ${clock(each.end)}`))))
    : element("p", { className: "small" }, "No label is ahead of the others for long enough.");
  place.replaceChildren(
    element("p", { className: "small" }, "Curves are similarities, not probabilities. A click shows the place in the video."),
    ...labels.map(label => element("div", { className: "track" },
      element("span", { className: "label" }, label), curve(label, timeline, x, y, duration, seek))),
    element("h4", {}, "Segments"), segments);
}

/** Move the line that marks the player's place. */
export function showTime(place, time, duration) {
  const at = String(Math.min(time / (duration || 1), 1) * WIDTH);
  for (const line of place.querySelectorAll("line")) { line.setAttribute("x1", at); line.setAttribute("x2", at); }
}

const peak = (timeline, label) => Math.max(...timeline.similarities[label]);

function curve(label, timeline, x, y, duration, seek) {
  const points = timeline.timestamps.map((time, place) => `${x(time).toFixed(1)},${y(timeline.similarities[label][place]).toFixed(1)}`);
  const parts = timeline.segments.filter(each => each.label === label);
  const picture = drawn("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": described(label, parts) },
    ...parts.map(each => drawn("rect", { x: x(each.start), y: 0, width: Math.max(x(each.end) - x(each.start), 2), height: HEIGHT })),
    drawn("polyline", { points: points.join(" ") }),
    drawn("line", { x1: 0, x2: 0, y1: 0, y2: HEIGHT }));
  picture.addEventListener("click", event => {
    const box = picture.getBoundingClientRect();
    seek((event.clientX - box.left) / box.width * duration);
  });
  return picture;
}

function described(label, parts) {
  const when = parts.map(each => `${clock(each.start)} to ${clock(each.end)}`).join(", ");
  return `${label}: ${when ? `ahead from ${when}` : "never ahead of the others"}`;
}
