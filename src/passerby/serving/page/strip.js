// SPDX-License-Identifier: Apache-2.0
// Several pictures: thumbnails to go through, how far the queue is, and where the filter finds somebody.

import { byId, fill, h, icon, step } from "./dom.js";
import { matches, shown } from "./persons.js";
import { clear, show } from "./queue.js";
import { announce, say } from "./speech.js";
import { errorText, speakOutcome } from "./stage.js";
import { on, state } from "./store.js";

let onlyMatches = false;
let wasDone = false;
const spoken = new WeakSet();
const head = h("div", { class: "strip-head" });
const list = h("ul", { class: "thumbs" });

export function start() {
  byId("strip").append(head, list);
  list.addEventListener("keydown", keys);
  on(["items", "view", "current", "language"], strip);
}

const finished = (item) => item.status === "done" || item.status === "error";
const matching = (item) => shown(item, state.view).filter((person) => matches(person, state.view)).length;

/** Pictures in the strip: all, or those where the filter finds somebody. */
function listed() {
  const filtering = onlyMatches && state.view.conditions.length > 0;
  return state.items.filter((item) => !filtering || item === state.current || matching(item) > 0);
}

function strip(topics) {
  speak();
  const many = state.items.length > 1;
  byId("strip").hidden = !many;
  byId("work").classList.toggle("many", many);
  if (!many) return;
  const items = listed();
  const focused = list.contains(document.activeElement) ? document.activeElement.dataset.id : null;
  progress(items);
  while (list.children.length > items.length) list.lastChild.remove();
  items.forEach((item, index) => {
    const made = thumb(item);
    if (index >= list.children.length) list.append(made);
    else if (!list.children[index].isEqualNode(made)) list.children[index].replaceWith(made);
  });
  const current = list.querySelector("[aria-current]");
  if (focused) list.querySelector(`[data-id="${focused}"]`)?.focus();
  if (topics.has("current") && current) intoView(current);
}

/** Scrolls the strip alone, never the page. */
function intoView(node) {
  const left = node.offsetLeft - list.offsetLeft;
  if (left < list.scrollLeft || left + node.offsetWidth > list.scrollLeft + list.clientWidth) {
    list.scrollLeft = left - (list.clientWidth - node.offsetWidth) / 2;
  }
}

function progress(items) {
  const done = state.items.filter(finished).length;
  const failed = state.items.filter((item) => item.status === "error").length;
  const all = state.items.length;
  const texts = [say("pictures_progress", { done, n: all })];
  if (failed) texts.push(say("pictures_failed", { n: failed }));
  if (state.view.conditions.length) texts.push(matchText());
  const bar = h("progress", { max: all, value: done, "aria-label": say("pictures_progress", { done, n: all }) });
  const button = (name, image, by) =>
    h(
      "button",
      {
        type: "button",
        class: "button plain square",
        "aria-label": say(name),
        title: say(name),
        "data-go": by,
        on: { click: () => go(items, by) },
      },
      icon(image),
    );
  const focused = head.contains(document.activeElement) ? document.activeElement.dataset.go : null;
  fill(
    head,
    h("p", { class: "strip-words" }, texts.join(" · ")),
    done < all && bar,
    state.view.conditions.length > 0 && only(),
    h(
      "span",
      { class: "strip-buttons" },
      button("previous_picture", "left", -1),
      button("next_picture", "right", 1),
      h("button", {
        type: "button",
        class: "button plain",
        "data-go": "clear",
        text: say(done < all ? "stop" : "clear"),
        on: { click: clear },
      }),
    ),
  );
  if (focused) head.querySelector(`[data-go="${focused}"]`)?.focus();
}

function only() {
  const box = h("input", {
    type: "checkbox",
    "data-go": "only",
    on: { change: (event) => ((onlyMatches = event.target.checked), strip(new Set())) },
  });
  box.checked = onlyMatches;
  return h("label", { class: "check small" }, box, h("span", { text: say("only_matches") }));
}

function matchText() {
  const found = state.items.map(matching);
  const people = say("people", { n: found.reduce((a, b) => a + b, 0) });
  return say("pictures_matches", { people, pictures: found.filter(Boolean).length, n: state.items.length });
}

function thumb(item) {
  const here = item === state.current;
  const number = matching(item);
  const what = outcome(item, number);
  const dim = item.status === "done" && state.view.conditions.length > 0 && !number;
  return h(
    "li",
    {},
    h(
      "button",
      {
        type: "button",
        class: `thumb ${item.status}${dim ? " dim" : ""}`,
        "data-id": item.id,
        "aria-current": here ? "true" : null,
        "aria-label": say("thumb_name", { name: item.name, what }),
        title: `${item.name}\n${what}`,
        tabindex: here ? "0" : "-1",
        on: { click: () => look(item) },
      },
      item.thumb ? h("img", { src: item.thumb, alt: "", decoding: "async" }) : h("span", { class: "blank" }),
      item.status === "error" && h("span", { class: "badge bad" }, icon("warning")),
      item.status === "done" && h("span", { class: "badge", text: number }),
    ),
  );
}

function outcome(item, number) {
  if (item.status === "error") return errorText(item.error);
  if (item.status === "done") return say("people", { n: number });
  return say(item.status === "busy" ? "looking" : "waiting");
}

function look(item) {
  show(item);
  byId("stage").scrollIntoView({ block: "nearest" });
}

function go(items, by) {
  const at = items.indexOf(state.current);
  show(items[(at + by + items.length) % items.length]);
}

function keys(event) {
  const items = listed();
  const to = step(event, items.indexOf(state.current), items.length);
  if (to === null) return;
  event.preventDefault();
  show(items[to]);
}

/** One picture is told by itself, many once they are all done. */
function speak() {
  const all = state.items.length;
  const done = all > 0 && state.items.every(finished);
  if (all === 1 && done && !spoken.has(state.items[0])) {
    spoken.add(state.items[0]);
    speakOutcome(state.items[0]);
  }
  if (all > 1 && done && !wasDone) announce(say("all_done", { n: all }));
  wasDone = done;
}
