// Two versions of a model side by side: how they were made, and what each scored on its held-out clips.

import { get } from "../api.js";
import { element, percent } from "../dom.js";

const single = card => card.metrics.views?.["1x1"] ?? {};
const share = value => (value === null || value === undefined ? "–" : percent(value));
const ROWS = {
  "made": card => new Date(card.created_at * 1000).toLocaleString(),
  "from": card => card.base,
  "method": card => [card.method, card.recipe].filter(Boolean).join(", "),
  "temporal head": card => card.temporal.kind,
  "dataset": card => card.dataset?.name || card.dataset?.id || "–",
  "judged on": card => (card.metrics.split ? `${single(card).clips ?? "?"} clips of ${card.metrics.split}` : "–"),
  "top-1": card => share(single(card).top1),
  "top-5": card => share(single(card).top5),
  "mean class accuracy": card => share(single(card).mean_class_accuracy),
  "other labels, harmonic mean": card => share(card.base_to_novel?.after?.harmonic_mean),
};

/** model: one with two versions or more. The cards are fetched once a person opens the table. */
export function comparison(model, told) {
  const place = element("div", { className: "wide" });
  const part = element("details", {}, element("summary", {}, "Compare two versions"), place);
  part.ontoggle = () => {
    if (part.open && !place.hasChildNodes())
      told(async () => show(place, (await get(`/v1/models/${encodeURIComponent(model.name)}`)).cards));
  };
  return part;
}

function show(place, cards) {
  const table = element("table");
  const choices = [1, 0].map(start => element("select", { ariaLabel: start ? "First version" : "Second version", onchange: draw },
    ...cards.map((card, index) => new Option(`${card.name}:${card.version}`, index, index === start, index === start))));

  function draw() {
    const chosen = choices.map(choice => cards[choice.value]);
    const head = element("tr", {}, element("td"), ...chosen.map(card => element("th", { scope: "col" }, `${card.name}:${card.version}`)));
    const rows = Object.entries(ROWS).map(([name, read]) =>
      element("tr", {}, element("th", { scope: "row" }, name), ...chosen.map(card => element("td", {}, read(card)))));
    const same = new Set(chosen.map(card => card.dataset?.id)).size === 1;
    table.replaceChildren(element("tbody", {}, head, ...rows));
    note.textContent = same ? "" : "They were judged on different clips. “Is it better?” judges both on the same ones.";
  }

  const note = element("p", { className: "small" });
  draw();
  place.replaceChildren(element("div", { className: "pair" }, choices[0], "and", choices[1]), table, note);
}
