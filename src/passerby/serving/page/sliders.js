// SPDX-License-Identifier: Apache-2.0
// The two thresholds. They act on the answer that is already here; nothing is asked again.

import { byId, h, later } from "./dom.js";
import { matches, shown } from "./persons.js";
import { announce, percent, say } from "./speech.js";
import { LOWEST_SCORE } from "./service.js";
import { changed, on, state } from "./store.js";

const START_THRESHOLD = 0.5;

export function start() {
  on(["language"], build);
  on(["view"], values);
}

const tell = later(500, () => {
  if (state.current?.status !== "done") return;
  const persons = shown(state.current, state.view);
  const m = persons.filter((person) => matches(person, state.view)).length;
  announce(m === persons.length ? say("people", { n: m }) : say("people_match", { n: persons.length, m }));
});

function build() {
  const { view } = state;
  byId("sliders").replaceChildren(
    h("h2", { id: "sliders-title", text: say("sliders_title") }),
    slider("detection", "detection", LOWEST_SCORE, 0.99, (value) => (view.detThreshold = value)),
    h("p", { class: "small faint", text: say("detection_hint") }),
    h(
      "div",
      { class: "switch", role: "group", "aria-label": say("attributes") },
      way("by_model", () => (view.threshold = null)),
      way("by_threshold", () => (view.threshold ??= START_THRESHOLD)),
    ),
    slider("attribute", "threshold", 0.05, 0.95, (value) => (view.threshold = value)),
    h("p", { id: "attribute-hint", class: "small faint" }),
  );
  values();
}

function slider(id, words, min, max, set) {
  const input = h("input", {
    type: "range",
    id: `${id}-slider`,
    min: Math.round(min * 100),
    max: Math.round(max * 100),
    step: 1,
    on: {
      input: (event) => {
        set(Number(event.target.value) / 100);
        changed("view");
        tell();
      },
    },
  });
  return h(
    "div",
    { class: "slider", id: `${id}-row` },
    h("label", { for: `${id}-slider`, text: say(words) }),
    h("output", { for: `${id}-slider`, id: `${id}-value` }),
    input,
  );
}

function way(words, run) {
  return h("button", {
    type: "button",
    id: words,
    class: "switch-part",
    text: say(words),
    on: {
      click: () => {
        run();
        changed("view");
        tell();
      },
    },
  });
}

function values() {
  if (!byId("detection-slider")) return;
  const { detThreshold, threshold } = state.view;
  write("detection", detThreshold);
  if (threshold !== null) write("attribute", threshold);
  byId("attribute-row").hidden = threshold === null;
  byId("attribute-hint").textContent = say(threshold === null ? "by_model_hint" : "threshold_hint");
  byId("by_model").setAttribute("aria-pressed", String(threshold === null));
  byId("by_threshold").setAttribute("aria-pressed", String(threshold !== null));
}

function write(id, value) {
  const input = byId(`${id}-slider`);
  // a pipeline may begin below the lowest score that is asked for
  input.min = String(Math.min(Number(input.min), Math.round(value * 100)));
  input.value = String(Math.round(value * 100));
  input.setAttribute("aria-valuetext", percent(value));
  byId(`${id}-value`).textContent = percent(value);
}
