// SPDX-License-Identifier: Apache-2.0
// JSON, CSV and the annotated picture, all made here, with the thresholds and the filter as they are.
// The CSV has the columns of the command line's `--format csv`, so that both can be read by the same program.

import { answer, matches, shown } from "./persons.js";
import { state } from "./store.js";

const COLUMNS = ["input", "page", "person", "x1", "y1", "x2", "y2", "score", "labels", "note", "error"];
const DECIDED = ["judgeable", "reasons", "yes", "uncertain"];

const round = (value, digits) => Number(value.toFixed(digits));

/** Persons of a picture that are told: above the slider, and matching the filter. */
export const told = (item) => shown(item, state.view).filter((person) => matches(person, state.view));

function idsWith(person, wanted) {
  return state.facts.labels.map((label) => label.id).filter((id) => answer(person, id, state.view) === wanted);
}

const sorted = (person, ids) => [...ids].sort((a, b) => person.probabilities[b] - person.probabilities[a]);

/** One document for the given pictures. */
export function jsonText(items) {
  const { view, facts } = state;
  const document = {
    det_threshold: view.detThreshold,
    attribute_threshold: view.threshold ?? "model",
    filter: view.conditions.map(({ id, wanted }) => ({ label: id, wanted })),
    filter_counts: view.counts,
    models: { detector: facts?.detector, attributes: facts?.attributes, version: facts?.version },
    pictures: items.map(pictureBody),
  };
  return `${JSON.stringify(document, null, 2)}\n`;
}

function pictureBody(item) {
  if (item.status === "error")
    return { input: item.name, error: { name: item.error.name, message: item.error.message } };
  return { input: item.name, size: item.size, persons: told(item).map(personBody) };
}

function personBody(person) {
  const label = (id) => state.facts.labels.find((one) => one.id === id);
  const named = (ids) =>
    sorted(person, ids).map((id) => ({
      id,
      en: label(id).en,
      zh: label(id).zh,
      probability: person.probabilities[id],
    }));
  return {
    person: person.number,
    bbox: person.box.map((v) => round(v, 2)),
    score: round(person.score, 5),
    judgeable: person.judgeable,
    reasons: person.reasons,
    yes: named(idsWith(person, "yes")),
    perhaps: named(idsWith(person, "perhaps").filter((id) => person.likely.has(id))),
    decisions: Object.fromEntries(
      state.facts.labels.map(({ id }) => [id, answer(person, id, state.view).replace("perhaps", "uncertain")]),
    ),
    probabilities: person.probabilities,
  };
}

/** One line a person; a picture without any has a line too. */
export function csvText(items) {
  const ids = state.facts?.labels.map((label) => label.id) ?? [];
  const lines = [[...COLUMNS, ...ids, ...DECIDED]];
  for (const item of items) {
    const persons = item.status === "done" ? told(item) : [];
    if (!persons.length)
      lines.push([
        item.name,
        ...Array(9).fill(""),
        item.error?.name ?? "",
        ...Array(ids.length + DECIDED.length).fill(""),
      ]);
    for (const person of persons) lines.push(csvLine(item, person, ids));
  }
  // the mark tells table programs that this is UTF-8
  return `\ufeff${lines.map((line) => line.map(cell).join(",")).join("\n")}\n`;
}

function csvLine(item, person, ids) {
  const yes = idsWith(person, "yes");
  const colours = (id) => state.facts.labels.find((label) => label.id === id).group.endsWith("_colour");
  return [
    item.name,
    "",
    person.number,
    ...person.box.map((v) => v.toFixed(2)),
    person.score.toFixed(5),
    sorted(
      person,
      yes.filter((id) => !colours(id)),
    ).join(";"),
    person.reasons[0] ?? "",
    "",
    ...ids.map((id) => person.probabilities[id]?.toFixed(5) ?? ""),
    String(person.judgeable),
    person.reasons.join(";"),
    yes.join(";"),
    idsWith(person, "perhaps").join(";"),
  ];
}

/** A file name that begins like a formula must not become one in a table program. */
function cell(value) {
  const text = /^[=+\-@\t\r]/u.test(value) && Number.isNaN(Number(value)) ? `'${value}` : String(value);
  return /[",\n\r]/u.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** "holiday/beach.png" -> "beach"; what no file system takes is replaced. */
export function stemOf(name) {
  const stem = name
    .split(/[\\/]/u)
    .pop()
    .replace(/\.[^.]*$/u, "");
  return stem.replace(/[\u0000-\u001f<>:"|?*]/gu, "_").slice(0, 120) || "picture";
}

/** Give a file to the user. */
export function hand(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}
