// SPDX-License-Identifier: Apache-2.0
// The people of the picture as cards: a cut-out and what is said of them. Who does not match the filter is not here.

import { byId, h } from "./dom.js";
import { cutOut } from "./pictures.js";
import { matches, shown } from "./persons.js";
import { comma, percent, say } from "./speech.js";
import { bitmap, choose } from "./stage.js";
import { changed, on, state } from "./store.js";
import { sentence } from "./summary.js";

export function start() {
  on(["current", "view", "language", "bitmap"], cards);
  on(["selected"], mark);
}

function cards() {
  const item = state.current;
  const place = byId("people");
  const focused = document.activeElement?.closest?.(".card-person")?.dataset.number;
  if (!item?.persons?.length) {
    place.replaceChildren();
    return;
  }
  const persons = shown(item, state.view);
  const fitting = persons.filter((person) => matches(person, state.view));
  const title = state.view.conditions.length
    ? say("people_match", { n: persons.length, m: fitting.length })
    : say("people", { n: persons.length });
  place.replaceChildren(
    h(
      "h2",
      { class: "people-title" },
      say("people_title"),
      " ",
      h("span", { id: "people-count", class: "faint", text: title }),
    ),
    h("ul", { class: "people-list" }, ...fitting.map((person) => h("li", {}, card(person)))),
  );
  mark();
  if (focused) place.querySelector(`[data-number="${focused}"]`)?.focus();
}

function card(person) {
  const canvas = h("canvas", { width: 96, height: 144, class: "cut", "aria-hidden": "true" });
  if (bitmap) cutOut(canvas, bitmap, person.box);
  const hover = (number) => (event) => {
    if (event.pointerType !== "mouse") return;
    state.hovered = number;
    changed("selected");
  };
  return h(
    "button",
    {
      type: "button",
      class: "card-person",
      "data-number": person.number,
      on: {
        click: () => choose(state.selected === person.number ? null : person.number),
        pointerenter: hover(person.number),
        pointerleave: hover(null),
      },
    },
    canvas,
    h(
      "span",
      { class: "card-words" },
      h(
        "span",
        { class: "card-head" },
        h("strong", { text: say("person_title", { number: person.number }) }),
        h("span", { class: "faint", text: percent(person.score) }),
      ),
      h("span", { class: "card-text" }, ...phrases(person)),
    ),
  );
}

/** What is sure, and fainter what is not. */
function phrases(person) {
  const { sure, open } = sentence(person);
  return [h("span", { text: sure }), open && h("span", { class: "faint", text: sure ? comma() + open : open })];
}

function mark() {
  for (const node of byId("people").querySelectorAll(".card-person")) {
    const number = Number(node.dataset.number);
    node.setAttribute("aria-pressed", String(number === state.selected));
    node.classList.toggle("at", number === (state.hovered ?? state.selected));
  }
}
