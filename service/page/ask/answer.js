// An answer as bars, with "none of these" as a row of its own.

import { element, percent } from "../dom.js";

/** confirm: gets the label that the video really shows, once a person has clicked it. */
export function showScores(place, answer, confirm) {
  const confident = answer.calibrated;
  const rows = answer.predictions.map(each => row(each.label, confident ? each.confidence : each.score, each.similarity, confirm));
  if (answer.abstained) rows.unshift(element("p", { className: "none" }, "None of these."));
  const head = element("p", { className: "small" }, confident
    ? "Confidence: how often the model is right when it says so. Each label stands for itself."
    : "Scores compare the labels with each other and add up to 100 %. Similarity compares a label with the video.");
  place.replaceChildren(head, element("ul", { className: "scores" }, ...rows.map(each => each.tagName === "LI" ? each : element("li", {}, each))));
}

function row(label, share, similarity, confirm) {
  const bar = element("span", { className: "bar" }, element("i"));
  bar.firstChild.style.width = percent(share).replace(" ", "");
  return element("li", { className: "row" },
    element("span", { className: "label" }, label), bar,
    element("span", { className: "number" }, percent(share)),
    element("span", { className: "small number" }, `similarity ${similarity.toFixed(2)}`),
    element("button", { type: "button", className: "plain", ariaLabel: `The video shows ${label}`, title: "Say that the video shows this", onclick: () => confirm(label) }, "It is this"));
}
