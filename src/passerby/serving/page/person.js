// SPDX-License-Identifier: Apache-2.0
// Everything about one person: what is sure, what is perhaps, and every probability.

import { byId, h, icon } from "./dom.js";
import { cutOut } from "./pictures.js";
import { answer, colourPart, described, matches, shown, silent } from "./persons.js";
import { labelName, percent, say } from "./speech.js";
import { bitmap, choose } from "./stage.js";
import { on, state } from "./store.js";
import { cannot } from "./summary.js";

const WORN = ["hat", "glasses", "boots", "hand_bag", "shoulder_bag", "backpack", "hold_objects_in_front"];
const CLOTHES = /^(upper_|lower_|long_coat)/u;

const wide = matchMedia("(min-width: 60rem)");
let allOpen = false;

export function start() {
  on(["current", "selected", "view", "language", "bitmap"], details);
}

/** The part of the list a label stands in: its group, or a kind of thing. */
export function groupOf(label) {
  if (label.group) return label.group;
  if (WORN.includes(label.id)) return "worn";
  if (CLOTHES.test(label.id)) return "clothes";
  return label.id === "female" ? "appearance" : "other";
}

/** Labels by group, groups in the order of the model. */
export function grouped(labels) {
  const groups = new Map();
  for (const label of labels) {
    const group = groupOf(label);
    groups.set(group, [...(groups.get(group) ?? []), label]);
  }
  return groups;
}

/** A group's name in words; a model of somebody's own may have any. */
export function groupName(group) {
  const key = `group_${group}`;
  const words = say(key);
  return words === key ? group.replaceAll("_", " ") : words;
}

/** A dot of a colour label's colour, or nothing for other labels. */
export function swatch(label) {
  const part = colourPart(label);
  if (part === null) return null;
  return h("span", { class: `swatch swatch-${label.id.slice(part.length + 1)}`, "aria-hidden": "true" });
}

function details() {
  const place = byId("person");
  const persons = shown(state.current, state.view);
  // on a phone the details cover half of the page: nothing that only happens to lie under a pointer opens them
  const hovered = wide.matches ? state.hovered : null;
  const person = persons.find(({ number }) => number === (hovered ?? state.selected));
  place.hidden = !person;
  byId("nobody").hidden = Boolean(person) || !persons.length;
  document.body.classList.toggle("sheet-open", Boolean(person));
  if (!person) return;
  const kept = place.dataset.number === String(person.number) ? place.scrollTop : 0;
  const focused = place.contains(document.activeElement) ? document.activeElement.dataset.role : null;
  place.dataset.number = person.number;
  place.replaceChildren(head(person, persons), ...body(person), everything(person));
  place.scrollTop = kept;
  if (focused) place.querySelector(`[data-role="${focused}"]`)?.focus();
}

function head(person, persons) {
  const canvas = h("canvas", { width: 168, height: 252, class: "cut", "aria-hidden": "true" });
  if (bitmap) cutOut(canvas, bitmap, person.box);
  const [x1, y1, x2, y2] = person.box.map(Math.round);
  return h(
    "div",
    { class: "person-head" },
    canvas,
    h(
      "div",
      { class: "person-words" },
      h("h2", { id: "person-title", text: say("person_title", { number: person.number }) }),
      h("p", { class: "faint", text: say("detected", { p: percent(person.score) }) }),
      h("p", { class: "faint", text: say("size_px", { w: x2 - x1, h: y2 - y1 }) }),
      matches(person, state.view) ? null : h("p", { class: "faint", text: say("unmatched") }),
    ),
    buttons(person, persons),
  );
}

function buttons(person, persons) {
  const fitting = persons.filter((one) => matches(one, state.view) || one === person);
  const at = fitting.indexOf(person);
  const button = (role, name, image, run) =>
    h(
      "button",
      {
        type: "button",
        class: "button plain square",
        "data-role": role,
        "aria-label": say(name),
        title: say(name),
        on: { click: run },
      },
      icon(image),
    );
  const go = (by) => () => choose(fitting[(at + by + fitting.length) % fitting.length].number);
  return h(
    "div",
    { class: "person-buttons" },
    fitting.length > 1 && button("previous", "previous_person", "left", go(-1)),
    fitting.length > 1 && button("next", "next_person", "right", go(1)),
    button("close", "close", "close", () => choose(null)),
  );
}

function body(person) {
  const { yes, perhaps } = described(person, state.facts.labels, state.view);
  const parts = [];
  if (!person.judgeable) parts.push(h("p", { class: "caution" }, icon("warning"), h("span", { text: cannot(person) })));
  else if (/cut by/u.test(person.note ?? ""))
    parts.push(h("p", { class: "caution" }, icon("warning"), h("span", { text: say("cut") })));
  if (silent(person, state.view)) return [...parts, h("p", { class: "small faint", text: say("cannot_still") })];
  if (!yes.length) {
    parts.push(h("p", { class: "faint", text: say(state.view.threshold === null ? "nothing_sure" : "nothing_above") }));
  }
  if (yes.length) parts.push(h("h3", { text: say("yes_title") }), list(yes));
  if (perhaps.length) parts.push(h("h3", { text: say("perhaps_title") }), list(perhaps));
  return parts;
}

const list = (rows) => h("ul", { class: "bars" }, ...rows.map((entry) => row(entry)));

function row({ label, p, answer: said }, { withAnswer = false } = {}) {
  const line = h("span", { class: "bar", "aria-hidden": "true", vars: { "--p": `${p * 100}%` } });
  if (state.view.threshold !== null) {
    line.append(h("span", { class: "tick", vars: { left: `${state.view.threshold * 100}%` } }));
  }
  return h(
    "li",
    { class: `bar-row ${said}`, "data-label": label.id },
    h("span", { class: "bar-name" }, swatch(label), h("span", { text: labelName(label) })),
    withAnswer && h("span", { class: "said", text: say(said) }),
    h("span", { class: "bar-value", text: percent(p) }),
    line,
  );
}

function everything(person) {
  const { labels } = state.facts;
  const rows = (members) =>
    members.map((label) => ({
      label,
      p: person.probabilities[label.id] ?? 0,
      answer: answer(person, label.id, state.view),
    }));
  const groups = [...grouped(labels)].map(([group, members]) => [
    h("h3", { text: groupName(group) }),
    h("ul", { class: "bars" }, ...rows(members).map((entry) => row(entry, { withAnswer: true }))),
  ]);
  return h(
    "details",
    { class: "all", open: allOpen, on: { toggle: (event) => (allOpen = event.target.open) } },
    h("summary", { "data-role": "all", text: say("every_probability", { n: labels.length }) }),
    ...groups.flat(),
  );
}
