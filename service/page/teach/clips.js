// The clips of a dataset: by class, each shown in a player.

import { get } from "../api.js";
import { clock, element } from "../dom.js";

const SHOWN = 200;

/** Fetched once a person opens the list, because a dataset may have thousands of clips. */
export function clipList(dataset, told) {
  const place = element("div");
  const list = element("details", {}, element("summary", {}, "Look at the clips"), place);
  list.ontoggle = () => {
    if (list.open && !place.hasChildNodes()) told(async () => show(place, await get(`/v1/datasets/${dataset}?items=true`)));
  };
  return list;
}

function show(place, dataset) {
  const player = element("video", { controls: true, muted: true, playsInline: true, hidden: true });
  const note = element("p", { className: "small", ariaLive: "polite" });
  const clips = element("ul", { className: "segments", ariaLabel: "Clips" });
  const choice = element("select", { onchange: () => list(choice.value) },
    ...dataset.classes.map(each => new Option(`${each.name} (${each.train + each.val + each.test})`, each.name)));
  player.onerror = () => { player.hidden = true; note.textContent = "This browser cannot play the clip. Vireo can look at it all the same."; };

  function list(label) {
    const found = dataset.items.filter(each => each.label === label);
    clips.replaceChildren(...found.slice(0, SHOWN).map(each => element("li", {}, element("button", {
      type: "button", className: "plain", onclick: () => play(each),
    }, `${each.path}, ${clock(each.seconds)}, ${each.split}`))));
    note.textContent = found.length > SHOWN ? `The first ${SHOWN} of ${found.length} clips.` : "";
  }

  function play(clip) {
    note.textContent = `${clip.path}: ${clip.label}`;
    player.hidden = false;
    player.src = `/v1/datasets/${dataset.id}/clips/${clip.sha256}`;
    player.play().catch(() => null); // a browser may want a click on the player first
  }

  place.replaceChildren(element("label", {}, "Class ", choice), clips, note, player);
  list(choice.value);
}
