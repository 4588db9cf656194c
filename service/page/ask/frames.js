// Thumbnails of the frames that a model looked at. A click shows the place in the player.

import { clock, element } from "../dom.js";

/** sheet: the answer of POST /v1/videos/{id}/frames. */
export function showFrames(place, sheet, seek) {
  place.replaceChildren(element("ol", { className: "frames" }, ...sheet.frames.map((time, number) => {
    const tile = element("span", { className: "tile" });
    tile.style.backgroundImage = `url(${sheet.url})`;
    tile.style.backgroundSize = `${sheet.width / sheet.tile * 100}% ${sheet.height / sheet.tile * 100}%`;
    tile.style.backgroundPosition = `${share(number % sheet.columns, sheet.width / sheet.tile)} ${share(Math.floor(number / sheet.columns), sheet.height / sheet.tile)}`;
    const button = element("button", { type: "button", ariaLabel: `Frame at ${time.toFixed(2)} seconds`, onclick: () => seek(time) }, tile, clock(time));
    return element("li", {}, button);
  })));
}

// In CSS, 0 % is the first of n tiles and 100 % the last.
const share = (place, tiles) => `${tiles > 1 ? place / (tiles - 1) * 100 : 0}%`;
