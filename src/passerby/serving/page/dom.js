// SPDX-License-Identifier: Apache-2.0
// Elements without markup: whatever comes from outside (file names, labels, errors) only ever becomes text.

const SVG = "http://www.w3.org/2000/svg";

/**
 * Make an element.
 * @param {string} tag
 * @param {object} props attributes; `class`, `text`, `on` ({event: listener}) and `vars` (CSS variables) are special;
 *   null, undefined and false leave an attribute out, true makes it empty.
 */
export function h(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (name === "on") for (const [event, run] of Object.entries(value)) node.addEventListener(event, run);
    else if (name === "vars") for (const [key, v] of Object.entries(value)) node.style.setProperty(key, v);
    else if (name === "text") node.textContent = value;
    else if (name === "class") node.className = value;
    else if (value !== null && value !== undefined && value !== false)
      node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

/** Give a node other children; false and null among them are left out. */
export function fill(node, ...children) {
  node.replaceChildren(...children.filter((child) => child !== null && child !== undefined && child !== false));
}

export const byId = (id) => document.getElementById(id);

const PATHS = {
  folder: "M3 6.5A1.5 1.5 0 0 1 4.5 5h4l2 2.5h9A1.5 1.5 0 0 1 21 9v8.5a1.5 1.5 0 0 1-1.5 1.5h-15A1.5 1.5 0 0 1 3 17.5z",
  picture:
    "M4.5 5h15A1.5 1.5 0 0 1 21 6.5v11a1.5 1.5 0 0 1-1.5 1.5h-15A1.5 1.5 0 0 1 3 17.5v-11A1.5 1.5 0 0 1 4.5 5zM4 17l5-5 4 4 3-3 4.5 4.5M15.5 9.5h.01",
  camera:
    "M4.5 8h3L9 5.5h6L16.5 8h3A1.5 1.5 0 0 1 21 9.500v8A1.5 1.5 0 0 1 19.5 19h-15A1.5 1.5 0 0 1 3 17.500v-8A1.5 1.5 0 0 1 4.5 8zM12 16a3 3 0 1 0 0-6 3 3 0 0 0 0 6z",
  download: "M12 4v11m0 0-4-4m4 4 4-4M5 19h14",
  left: "M14.5 6l-6 6 6 6",
  right: "M9.5 6l6 6-6 6",
  close: "M6.5 6.500l11 11m0-11l-11 11",
  plus: "M12 5v14M5 12h14",
  warning: "M12 4.5 21 19.500H3zM12 10v4.500M12 17h.01",
  sun: "M12 16a4 4 0 1 0 0-8 4 4 0 0 0 0 8zM12 3v1.500M12 19.500V21M3 12h1.500M19.5 12H21M5.6 5.600l1.1 1.100M17.3 17.300l1.1 1.100M5.6 18.400l1.1-1.100M17.3 6.700l1.1-1.1",
  moon: "M20 13.500A8 8 0 1 1 10.5 4a6.5 6.5 0 0 0 9.5 9.500z",
  auto: "M12 20a8 8 0 1 0 0-16 8 8 0 0 0 0 16z",
  retry: "M5 12a7 7 0 1 0 2-4.900M5 4.500V8h3.5",
  yes: "M5.5 12.500l4 4 9-9.5",
  no: "M7 12h10",
};

const FILLED = { auto: "M12 4a8 8 0 0 1 0 16z" };

/** A line icon; decoration only, the name stands beside it or on the button. */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  for (const [key, value] of Object.entries({ viewBox: "0 0 24 24", class: "icon", "aria-hidden": "true" })) {
    svg.setAttribute(key, value);
  }
  for (const [d, fill] of [[PATHS[name]], ...(FILLED[name] ? [[FILLED[name], "currentColor"]] : [])]) {
    const path = document.createElementNS(SVG, "path");
    path.setAttribute("d", d);
    if (fill) path.setAttribute("fill", fill);
    svg.append(path);
  }
  return svg;
}

/** Run after things have been quiet for `ms`. */
export function later(ms, run) {
  let timer = 0;
  return (...args) => {
    clearTimeout(timer);
    timer = setTimeout(() => run(...args), ms);
  };
}

/** Arrow keys, Home and End within a row of things; returns the next index or null for other keys. */
export function step(event, index, count) {
  if (!count || event.altKey || event.ctrlKey || event.metaKey) return null;
  switch (event.key) {
    case "ArrowRight":
    case "ArrowDown":
      return index < 0 ? 0 : (index + 1) % count;
    case "ArrowLeft":
    case "ArrowUp":
      return index < 0 ? count - 1 : (index - 1 + count) % count;
    case "Home":
      return 0;
    case "End":
      return count - 1;
    default:
      return null;
  }
}
