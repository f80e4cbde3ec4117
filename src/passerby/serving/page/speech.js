// SPDX-License-Identifier: Apache-2.0
// What the page says: its words in the chosen language, names of labels, and what screen readers are told.

import { byId } from "./dom.js";
import { state } from "./store.js";
import { en } from "./words_en.js";
import { zh } from "./words_zh.js";

const WORDS = { en, zh };

/**
 * A sentence in the page's language.
 * A text with "|" has a form for one and a form for any other number `n`; {name} is replaced by the value of that name.
 */
export function say(key, values = {}) {
  const text = WORDS[state.language][key] ?? en[key] ?? key;
  const [one, many = one] = text.split("|");
  return (values.n === 1 ? one : many).replace(/\{(\w+)\}/gu, (_, name) => values[name] ?? "");
}

export const known = (key) => key in en;

export const labelName = (label) => (state.language === "zh" && label.zh) || label.en;

export const percent = (p) => `${Math.round(p * 100)}%`;

/** Between the parts of a list. */
export const comma = () => (state.language === "zh" ? "，" : ", ");

let hide = 0;

/** Tell screen readers; with `shown`, everybody for some seconds. */
export function announce(text, { shown = false } = {}) {
  byId("announced").textContent = text;
  if (!shown) return;
  const toast = byId("toast");
  toast.textContent = text;
  toast.hidden = false;
  clearTimeout(hide);
  hide = setTimeout(() => {
    toast.hidden = true;
  }, 6000);
}

/** Write the words of the fixed parts of the page. */
export function translate() {
  document.documentElement.lang = state.language === "zh" ? "zh-CN" : "en";
  for (const node of document.querySelectorAll("[data-say]")) node.textContent = say(node.dataset.say);
  for (const node of document.querySelectorAll("[data-name]")) node.setAttribute("aria-label", say(node.dataset.name));
  for (const node of document.querySelectorAll("[data-hint]")) node.setAttribute("placeholder", say(node.dataset.hint));
  for (const node of document.querySelectorAll("[data-title]")) node.title = say(node.dataset.title);
}
