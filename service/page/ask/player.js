// The player of the chosen video.

import { $ } from "../dom.js";

const player = $("player");
let local = null;

export function play(source) {
  if (local) URL.revokeObjectURL(local);
  local = source instanceof File ? URL.createObjectURL(source) : null;
  $("unplayable").hidden = true;
  player.hidden = !source;
  if (source) player.src = local ?? source;
  else player.removeAttribute("src");
}

export function seek(time) {
  player.currentTime = time;
  player.focus();
}

export function onTime(show) {
  player.addEventListener("timeupdate", () => show(player.currentTime));
}

player.addEventListener("error", () => {
  if (!player.getAttribute("src")) return;
  $("unplayable").hidden = false;
  player.hidden = true;
});
