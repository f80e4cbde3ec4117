// SPDX-License-Identifier: Apache-2.0
// "backpack and no hat": typed, or chosen from the list. Works over every picture that is here.

import { byId, fill, h, icon, later } from "./dom.js";
import { count, matches, readFilter, shown } from "./persons.js";
import { grouped, groupName, swatch } from "./person.js";
import { announce, labelName, say } from "./speech.js";
import { changed, on, state } from "./store.js";

const COUNTS = ["sure", "likely", "possible"];

let open = false;

export function start() {
  on(["language"], build);
  on(["view", "current", "items"], refresh);
}

const tell = later(300, () => {
  const all = everybody();
  announce(say("people_match", { n: all.length, m: all.filter((person) => matches(person, state.view)).length }));
});

/** Persons of all pictures above the detection slider. */
const everybody = () => state.items.flatMap((item) => shown(item, state.view));

function build() {
  const field = h("input", {
    id: "filter-text",
    type: "text",
    autocomplete: "off",
    autocapitalize: "off",
    spellcheck: "false",
    enterkeyhint: "done",
    placeholder: say("filter_hint"),
    "aria-describedby": "filter-problem",
  });
  byId("filter").replaceChildren(
    h("h2", { id: "filter-title", text: say("filter_title") }),
    h(
      "form",
      { id: "filter-form", on: { submit: typed } },
      h("label", { for: "filter-text", text: say("filter_label") }),
      h("div", { class: "field" }, field, h("button", { type: "submit", class: "button", text: say("filter_add") })),
    ),
    h("p", { id: "filter-problem", class: "wrong small", role: "alert", hidden: true }),
    h("div", { id: "chips", class: "chips" }),
    h(
      "div",
      { id: "counts-row" },
      h("p", { id: "counts-title", class: "small faint", text: say("counts") }),
      countsSwitch(),
    ),
    h(
      "details",
      { id: "filter-all", open, on: { toggle: (event) => unfolded(event.target.open) } },
      h("summary", { text: say("filter_all") }),
      h("div", { id: "choices" }),
    ),
  );
  chips();
  choices();
}

/** What counts as a match: what is sure, also what is likely, or all that is not ruled out. */
function countsSwitch() {
  const part = (level) =>
    h("button", {
      type: "button",
      id: `counts-${level}`,
      class: "switch-part",
      text: say(`counts_${level}`),
      on: { click: () => act(() => (state.view.counts = level)) },
    });
  return h("div", { class: "switch three", role: "group", "aria-labelledby": "counts-title" }, ...COUNTS.map(part));
}

function refresh() {
  if (!byId("chips")) return;
  chips();
  choices();
}

function act(change) {
  change();
  changed("view");
  tell();
}

function typed(event) {
  event.preventDefault();
  const field = byId("filter-text");
  if (!state.facts) return;
  const read = readFilter(field.value, state.facts.labels);
  for (const condition of read.conditions) put(condition);
  const problem = read.several.length ? "filter_several" : "filter_unknown";
  const left = [...read.several, ...read.unknown];
  byId("filter-problem").hidden = !left.length;
  byId("filter-problem").textContent = left.length ? say(problem, { word: left[0] }) : "";
  field.value = left.join(", ");
  if (read.several.length) byId("filter-all").open = true;
}

/** Put a condition in place of one about the same label. */
function put({ id, wanted }) {
  act(() => {
    const others = state.view.conditions.filter((one) => one.id !== id);
    state.view.conditions = [...others, { id, wanted }];
  });
}

function take(id) {
  act(() => {
    state.view.conditions = state.view.conditions.filter((one) => one.id !== id);
  });
}

const nameOf = (id) => labelName(state.facts.labels.find((label) => label.id === id));

/** A condition in words: "with Backpack". */
export const conditionText = ({ id, wanted }) => say(wanted ? "with_name" : "without_name", { name: nameOf(id) });

function chips() {
  const { conditions } = state.view;
  const place = byId("chips");
  const inside = place.contains(document.activeElement);
  place.hidden = !conditions.length;
  byId("counts-row").hidden = !conditions.length || state.view.threshold !== null;
  for (const level of COUNTS) byId(`counts-${level}`).setAttribute("aria-pressed", String(state.view.counts === level));
  fill(
    place,
    ...conditions.map((condition) => {
      const what = conditionText(condition);
      const props = {
        type: "button",
        class: `chip ${condition.wanted ? "with" : "without"}`,
        "aria-label": say("remove_name", { what }),
        on: { click: () => take(condition.id) },
      };
      return h("button", props, h("span", { text: what }), icon("close"));
    }),
    conditions.length > 1 &&
      h("button", {
        type: "button",
        class: "button plain",
        text: say("filter_clear"),
        on: { click: () => act(() => (state.view.conditions = [])) },
      }),
  );
  if (inside) (place.querySelector("button") ?? byId("filter-text")).focus();
}

function unfolded(now) {
  open = now;
  byId("filter").classList.toggle("whole", open);
  choices();
}

/** The list is made anew only while it is open: it has a line for every label. */
function choices() {
  const place = byId("choices");
  if (!open || !state.facts) {
    place.replaceChildren();
    return;
  }
  const focused = document.activeElement?.dataset?.choice;
  const persons = everybody();
  const parts = [...grouped(state.facts.labels)].flatMap(([group, members]) => [
    h(
      "section",
      { class: "choice-group" },
      h("h3", { text: groupName(group) }),
      h("ul", {}, ...members.map((label) => choice(label, persons))),
    ),
  ]);
  place.replaceChildren(...parts);
  if (focused) place.querySelector(`[data-choice="${CSS.escape(focused)}"]`)?.focus();
}

function choice(label, persons) {
  const set = state.view.conditions.find((condition) => condition.id === label.id);
  const have = count(persons, { id: label.id, wanted: true }, state.view);
  const name = labelName(label);
  const button = (wanted) => {
    const chosen = set?.wanted === wanted;
    return h("button", {
      type: "button",
      class: "mini",
      text: say(wanted ? "with" : "without"),
      "aria-label": say(wanted ? "with_name" : "without_name", { name }),
      "aria-pressed": String(chosen),
      "data-choice": `${label.id} ${wanted}`,
      on: { click: () => (chosen ? take(label.id) : put({ id: label.id, wanted })) },
    });
  };
  return h(
    "li",
    { class: have ? "choice" : "choice rare" },
    h("span", { class: "bar-name" }, swatch(label), h("span", { text: name })),
    h("span", { class: "faint count", title: say("have", { n: have }), text: have }),
    h("span", { class: "pair" }, button(true), button(false)),
  );
}
