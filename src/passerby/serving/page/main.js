// SPDX-License-Identifier: Apache-2.0
// The page begins here: what is kept of the user's taste, the fixed parts, the key, and the keyboard.

import { byId, h, icon } from "./dom.js";
import * as downloads from "./downloads.js";
import * as filter from "./filter.js";
import * as intake from "./intake.js";
import * as people from "./people.js";
import * as person from "./person.js";
import { resume } from "./queue.js";
import { useKey } from "./service.js";
import * as sliders from "./sliders.js";
import { say, translate } from "./speech.js";
import * as stage from "./stage.js";
import { changed, on, state } from "./store.js";
import * as strip from "./strip.js";

const THEMES = { auto: "auto", light: "sun", dark: "moon" };
const wide = matchMedia("(min-width: 60rem)");

/** Two choices are remembered, nothing else; where storage is closed, not even these. */
function remembered(name) {
  try {
    return localStorage.getItem(`passerby.${name}`);
  } catch {
    return null;
  }
}

function remember(name, value) {
  try {
    localStorage.setItem(`passerby.${name}`, value);
  } catch {
    // then it holds until the page is closed
  }
}

function tastes() {
  const theme = remembered("theme") in THEMES ? remembered("theme") : "auto";
  document.documentElement.dataset.theme = theme;
  const language = remembered("language") ?? navigator.language;
  state.language = language.startsWith("zh") ? "zh" : "en";
  byId("theme").addEventListener("click", () => {
    const names = Object.keys(THEMES);
    const next = names[(names.indexOf(document.documentElement.dataset.theme) + 1) % names.length];
    document.documentElement.dataset.theme = next;
    remember("theme", next);
    tools();
  });
  byId("language").addEventListener("click", () => {
    state.language = state.language === "zh" ? "en" : "zh";
    remember("language", state.language);
    changed("language");
  });
}

function tools() {
  const { theme } = document.documentElement.dataset;
  byId("theme").replaceChildren(icon(THEMES[theme]));
  byId("theme").setAttribute("aria-label", say(`theme_${theme}`));
  byId("theme").title = say(`theme_${theme}`);
  byId("language").textContent = say("other_language");
  byId("language").lang = state.language === "zh" ? "en" : "zh-CN";
}

function layout() {
  const empty = !state.items.length;
  byId("start").hidden = !empty;
  byId("work").hidden = empty;
  const item = state.current;
  document.title = item ? `${item.name} · passerby` : "passerby";
  if (!item) return;
  byId("picture-name").textContent = item.name;
  const facts = item.size ? [say("file_facts", { w: item.size[0], h: item.size[1] })] : [];
  byId("picture-facts").textContent = facts.join(" · ");
  const note = noteOf(item);
  byId("picture-note").hidden = !note;
  byId("picture-note").textContent = note;
}

/** What the user should know about how this picture was looked at; empty for most. */
function noteOf(item) {
  const notes = [];
  if (item.scaled) {
    const [w, height] = item.scaled.to;
    notes.push(item.scaled.why === "image_refused" ? say("converted") : say("scaled", { w, h: height }));
  }
  if (item.status === "done" && item.thumb === null) notes.push(say("cannot_show"));
  else if (stage.fits(item) === false) notes.push(say("differs"));
  return notes.join(" ");
}

function paused() {
  const place = byId("paused");
  const why = state.paused;
  const asks = why === "key" || why === "wrong_key";
  place.hidden = !why;
  place.replaceChildren();
  if (why) {
    const button = h("button", {
      type: "button",
      class: "button",
      text: say(asks ? "key_enter" : "retry"),
      on: { click: asks ? askKey : resume },
    });
    place.append(icon("warning"), h("span", { text: say(asks ? "key_needed" : "offline") }), button);
  }
  byId("key-wrong").hidden = why !== "wrong_key";
  if (asks) askKey();
}

function askKey() {
  if (byId("key").open) return;
  byId("key-field").value = "";
  byId("key").showModal();
}

function keyDialog() {
  byId("key-form").addEventListener("submit", (event) => {
    event.preventDefault();
    useKey(byId("key-field").value.trim());
    byId("key-field").value = "";
    byId("key").close();
    resume();
  });
  byId("key-cancel").addEventListener("click", () => byId("key").close());
}

/** Escape goes one step back: the menu, then the person. */
function escape(event) {
  if (event.key !== "Escape" || byId("key").open || downloads.close()) return;
  const number = state.selected;
  if (number === null) return;
  const inside = byId("person").contains(document.activeElement);
  stage.choose(null);
  if (inside) queueMicrotask(() => stage.focusBox(number));
}

/** On a wide page somebody is looked at from the start; on a phone the details would cover the picture. */
function firstPerson() {
  const item = state.current;
  if (!wide.matches || item?.status !== "done" || state.selected !== null || item.looked) return;
  item.looked = true;
  const first = item.persons.find((one) => one.score >= state.view.detThreshold);
  if (first) stage.choose(first.number);
}

function begin() {
  tastes();
  for (const node of document.querySelectorAll("[data-icon]")) node.replaceWith(icon(node.dataset.icon));
  keyDialog();
  for (const part of [stage, sliders, filter, people, person, strip, downloads]) part.start();
  intake.listen((on_) => {
    byId("dropping").hidden = !on_;
  });
  const unfold = () => (byId("controls").open = wide.matches);
  wide.addEventListener("change", unfold);
  unfold();
  document.addEventListener("keydown", escape);
  window.addEventListener("online", () => state.paused === "offline" && resume());
  on(["language"], () => {
    translate();
    tools();
  });
  on(["items", "current", "language", "bitmap"], layout);
  on(["paused", "language"], paused);
  on(["current"], firstPerson);
  changed("language", "items", "current", "view");
}

begin();
