// Building elements without HTML in strings: what a user or a file named is always text.

export const $ = id => document.getElementById(id);

export function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children.filter(child => child !== null && child !== undefined));
  return made;
}

/** One sentence for the person, and for a screen reader. retry: puts a button behind it. */
export function say(text, bad = false, retry = null) {
  const button = retry && element("button", { type: "button", className: "plain", onclick: retry }, "Try again");
  $("said").replaceChildren(text, ...(button ? [" ", button] : []));
  $("said").className = bad ? "bad" : "";
}

const SVG = "http://www.w3.org/2000/svg"; // the name of a vocabulary: nothing is loaded from there

export function drawn(tag, attributes = {}, ...children) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

/** 75.3 → "1:15" */
export function clock(seconds) {
  const whole = Math.floor(seconds);
  const parts = whole >= 3600 ? [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60] : [Math.floor(whole / 60), whole % 60];
  return parts.map((part, place) => place ? String(part).padStart(2, "0") : part).join(":");
}

export const percent = share => `${(share * 100).toFixed(1)} %`;
