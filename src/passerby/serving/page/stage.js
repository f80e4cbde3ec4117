// SPDX-License-Identifier: Apache-2.0
// The picture and the boxes on it. Boxes are buttons placed in per cent, so they scale with the picture and work
// with mouse, finger, keyboard and screen reader alike.

import { byId, fill, h, icon, step } from "./dom.js";
import { canvasOf, decode } from "./pictures.js";
import { matches, shown } from "./persons.js";
import { again } from "./queue.js";
import { announce, known, say } from "./speech.js";
import { changed, on, state } from "./store.js";
import { summary } from "./summary.js";

const DISPLAY_PX = 2400; // longest side of what is drawn on screen; cut-outs use all pixels

/** All pixels of the picture shown; null before it is decoded and where the browser cannot. */
export let bitmap = null;

let drawn = null; // the item whose bitmap this is
let drawnSize = null;
const frame = h("div", { class: "frame" });
const boxes = h("div", { class: "boxes", role: "group" });
const message = h("div", { class: "stage-message" });
let ticking = 0;
let placing = false;

export function start() {
  byId("stage").append(frame, message);
  boxes.addEventListener("keydown", keys);
  boxes.addEventListener("pointerover", (event) => hover(event, event.target.closest(".box")));
  boxes.addEventListener("pointerleave", (event) => hover(event, null));
  frame.addEventListener("click", (event) => {
    if (!event.target.closest(".box")) choose(null);
  });
  on(["view", "current"], keepMatching);
  on(["current"], picture);
  on(["current", "selected", "view", "language"], showBoxes);
  on(["current", "view", "language", "paused"], showMessage);
}

/** Look at a person of the current picture, or at nobody. */
export function choose(number, { focus = false } = {}) {
  state.selected = number;
  state.hovered = null;
  changed("selected");
  if (focus) queueMicrotask(() => focusBox(number));
}

/** Put the keyboard on a box; that alone does not mean to look at the person. */
export function focusBox(number) {
  placing = true;
  boxes.querySelector(`[data-number="${number}"]`)?.focus();
  placing = false;
}

/** Whoever is looked at and no longer matches gives way to the first who does. */
function keepMatching(topics) {
  if (topics.has("view")) state.hovered = null;
  if (state.selected === null || !state.current?.persons) return;
  const fitting = shown(state.current, state.view).filter((person) => matches(person, state.view));
  if (!fitting.length || fitting.some((person) => person.number === state.selected)) return;
  choose(fitting[0].number);
}

function hover(event, box) {
  if (event.pointerType !== "mouse") return;
  const number = box ? Number(box.dataset.number) : null;
  if (number === state.hovered) return;
  state.hovered = number;
  changed("selected");
}

/** Whether browser and service agree about the size of the picture shown; null while one of them has not said. */
export function fits(item) {
  if (!bitmap || !item.size || drawn !== item) return null;
  return bitmap.width === item.size[0] && bitmap.height === item.size[1];
}

async function picture() {
  const item = state.current;
  const size = item?.size ?? null;
  if (item === drawn && String(size) === String(drawnSize)) return;
  const same = item === drawn;
  drawn = item;
  drawnSize = size;
  if (same && bitmap && bitmap.width === size[0] && bitmap.height === size[1]) {
    changed("bitmap");
    return;
  }
  if (!same) frame.replaceChildren();
  const made = item && maybe(item) ? await decode(item.file, size) : null;
  if (drawn !== item || String(drawnSize) !== String(size)) {
    made?.close();
    return;
  }
  bitmap?.close();
  bitmap = made;
  draw(item);
  changed("bitmap");
}

const maybe = (item) => item.error?.name !== "not_a_picture";

function draw(item) {
  frame.replaceChildren();
  if (!item) return;
  const size = item.size ?? (bitmap && [bitmap.width, bitmap.height]);
  if (!size) return;
  frame.style.setProperty("--ratio", `${size[0]} / ${size[1]}`);
  frame.style.setProperty("--shape", String(size[0] / size[1]));
  const canvas = bitmap ? canvasOf(bitmap, DISPLAY_PX) : h("div", { class: "blank" });
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", item.name);
  frame.append(canvas, boxes);
}

function showBoxes(topics) {
  const item = state.current;
  boxes.setAttribute("aria-label", say("boxes"));
  const persons = item?.size ? shown(item, state.view) : [];
  if (topics.has("current") || topics.has("view") || topics.has("language")) {
    const focused = document.activeElement?.closest?.(".box")?.dataset.number;
    // small ones last, so that they lie on top of the large ones behind them
    const area = ({ box: [x1, y1, x2, y2] }) => (x2 - x1) * (y2 - y1);
    const order = [...persons].sort((a, b) => area(b) - area(a));
    boxes.replaceChildren(...persons.map((person) => box(person, item, order.indexOf(person))));
    if (focused) focusBox(focused);
  }
  const at = state.hovered ?? state.selected;
  const first = persons.find((person) => matches(person, state.view)) ?? persons[0];
  for (const node of boxes.children) {
    const number = Number(node.dataset.number);
    node.classList.toggle("at", number === at);
    node.setAttribute("aria-pressed", String(number === state.selected));
    node.tabIndex = number === (state.selected ?? first?.number) ? 0 : -1;
  }
}

function box(person, item, layer) {
  const [width, height] = item.size;
  const [x1, y1, x2, y2] = person.box;
  const fits = matches(person, state.view);
  const name = `${say("person_title", { number: person.number })}: ${summary(person)}`;
  return h(
    "button",
    {
      type: "button",
      class: `box${fits ? "" : " dim"}${person.judgeable ? "" : " unsure"}${y1 / height < 0.05 ? " low" : ""}`,
      "data-number": person.number,
      "aria-label": fits ? name : `${name} (${say("unmatched")})`,
      vars: {
        left: `${(100 * x1) / width}%`,
        top: `${(100 * y1) / height}%`,
        width: `${(100 * (x2 - x1)) / width}%`,
        height: `${(100 * (y2 - y1)) / height}%`,
        "z-index": String(layer + 1),
      },
      on: {
        click: (event) => pressed(event, person.number),
        focus: (event) => reached(event, person.number),
      },
    },
    h("span", { class: "number", text: person.number }),
  );
}

/** Whoever comes by keyboard looks at the person at once; a pointer says so by its click. */
function reached(event, number) {
  if (!placing && event.target.matches(":focus-visible") && state.selected !== number) choose(number);
}

/** A click looks at a person or away; Enter on a box, which is looked at already, goes on into the details. */
function pressed(event, number) {
  if (event.detail > 0) {
    choose(state.selected === number ? null : number);
    return;
  }
  choose(number);
  queueMicrotask(() => byId("person").focus());
}

function keys(event) {
  const persons = shown(state.current, state.view).filter((person) => matches(person, state.view));
  const at = persons.findIndex((person) => person.number === Number(event.target.dataset.number));
  const to = step(event, at, persons.length);
  if (to === null) return;
  event.preventDefault();
  choose(persons[to].number, { focus: true });
}

function showMessage() {
  clearInterval(ticking);
  const item = state.current;
  message.replaceChildren();
  frame.classList.toggle("busy", Boolean(item && item.status !== "done"));
  if (!item) return;
  if (item.status === "error") message.append(trouble(item));
  else if (item.status === "done") message.append(...emptiness(item));
  else if (item.retryAt) countDown(item);
  else message.append(busy(say(item.status === "busy" ? "looking" : "waiting"), !state.paused));
}

function busy(text, moving = true) {
  return h(
    "div",
    { class: "busy-note", role: "status" },
    h("span", { text }),
    moving && h("span", { class: "progress" }),
  );
}

function countDown(item) {
  const text = () => say("busy_again", { n: Math.max(1, Math.ceil((item.retryAt - Date.now()) / 1000)) });
  const note = busy(text());
  message.append(note);
  ticking = setInterval(() => {
    if (item.retryAt) note.firstChild.textContent = text();
  }, 500);
}

function emptiness(item) {
  const persons = shown(item, state.view);
  if (persons.some((person) => matches(person, state.view))) return [];
  const below = item.persons.length - persons.length;
  const possible = persons.filter((person) => matches(person, { ...state.view, counts: "possible" })).length;
  if (possible) return [hopeful(possible)];
  let text = say("nobody_matches");
  if (!persons.length) text = below ? say("nobody_above", { n: below }) : say("nobody");
  return [h("p", { class: "empty-note", text })];
}

/** The filter found nobody, but not everybody is ruled out. */
function hopeful(n) {
  const widen = () => {
    state.view.counts = "possible";
    changed("view");
  };
  return h(
    "div",
    { class: "empty-note" },
    h("p", { text: say("could_match", { n }) }),
    h("button", { type: "button", class: "button", text: say("show_possible"), on: { click: widen } }),
  );
}

const SHARED_WORDS = {
  request_too_large: "too_large",
  request_timeout: "too_large",
  input_too_large: "too_large",
  overloaded: "busy",
  rate_limited: "busy",
  not_ready: "busy",
  interrupted: "busy",
};

/** An error in plain words; the service's own words where there are none here. */
export function errorText(error) {
  const key = `error_${SHARED_WORDS[error.name] ?? error.name}`;
  return known(key) ? say(key) : error.message || error.name;
}

function trouble(item) {
  const { error } = item;
  const hopeless = ["not_a_picture", "image_unknown", "image_corrupt", "image_truncated", "input_empty", "file_gone"];
  return h(
    "div",
    { class: "trouble", role: "alert" },
    icon("warning"),
    h("h2", { text: say("error_title") }),
    h("p", { text: errorText(error) }),
    error.name === "internal" &&
      error.logId &&
      h("p", { class: "small faint", text: say("error_number", { id: error.logId }) }),
    hopeless.includes(error.name)
      ? h("button", { type: "button", class: "button", "data-open": "choose" }, icon("picture"), say("choose"))
      : h("button", { type: "button", class: "button", on: { click: () => again(item) } }, icon("retry"), say("retry")),
  );
}

/** Say what became of the current picture; the queue calls this through the topic. */
export function speakOutcome(item) {
  if (item.status === "done") announce(say("found", { n: shown(item, state.view).length, file: item.name }));
  else if (item.status === "error") announce(`${say("error_title")}: ${errorText(item.error)}`);
}
