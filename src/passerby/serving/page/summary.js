// SPDX-License-Identifier: Apache-2.0
// A person in one sentence, for cards, screen readers and drawn pictures.

import { described, silent } from "./persons.js";
import { comma, labelName, say } from "./speech.js";
import { state } from "./store.js";

/** Why somebody cannot be judged, in words. */
export function reasonsOf(person) {
  return person.reasons.map((reason) => say(`reason_${reason}`)).join(comma());
}

export const cannot = (person) =>
  person.reasons.length ? say("cannot_because", { reasons: reasonsOf(person) }) : `${say("cannot")}.`;

/** What is said of a person, the sure and the open part apart; one of them may be empty. */
export function sentence(person) {
  if (silent(person, state.view)) return { sure: "", open: cannot(person) };
  const { yes, perhaps } = described(person, state.facts.labels, state.view);
  const names = (rows) => rows.map((row) => labelName(row.label)).join(comma());
  if (yes.length + perhaps.length === 0) {
    return { sure: "", open: say(state.view.threshold === null ? "nothing_sure" : "nothing_above") };
  }
  return { sure: names(yes), open: perhaps.length ? say("perhaps_words", { list: names(perhaps) }) : "" };
}

/** "Hat, Long sleeves, perhaps Glasses". */
export function summary(person) {
  const { sure, open } = sentence(person);
  return [sure, open].filter(Boolean).join(comma());
}
