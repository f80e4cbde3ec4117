// SPDX-License-Identifier: Apache-2.0
// From the service's answer to what is said of a person under the sliders and the filter. Pure functions, no page.

/** Part ("upper") of a colour label, or null: its group ends in "_colour". */
export const colourPart = (label) => (label.group.endsWith("_colour") ? label.group.slice(0, -"_colour".length) : null);

/**
 * The answer's persons in our terms.
 * @param {object} result of the service, asked for with details and English names
 * @param {object[]} labels from GET /labels
 * @param {number} factor box pixels of the answer -> pixels of the picture (it may have been scaled for the upload)
 */
export function personsOf(result, labels, factor = 1) {
  const ids = new Map(labels.map((label) => [label.en, label.id]));
  return result.pedestrians.map((body, index) => {
    const open = (body.uncertain ?? []).map((told) => ids.get(told.label));
    const colours = Object.values(body.colours ?? {});
    const openColours = colours.filter((c) => c.decision === "uncertain").map((c) => ids.get(c.label));
    return {
      number: index + 1,
      box: body.bbox.map((v) => v * factor),
      score: body.score,
      probabilities: body.probabilities ?? {},
      decisions: body.decisions ?? null,
      told: new Set([...body.attributes, ...colours].map((told) => ids.get(told.label))),
      likely: new Set([...open, ...openColours]),
      judgeable: body.judgeable !== false,
      reasons: body.reasons ?? [],
      note: body.note ?? null,
    };
  });
}

/** Persons above the detection slider. */
export const shown = (item, view) => (item?.persons ?? []).filter((person) => person.score >= view.detThreshold);

/** "yes", "no" or "perhaps": by one threshold where the user set it, else as the model decided. */
export function answer(person, id, view) {
  const p = person.probabilities[id];
  if (p === undefined) return "perhaps";
  if (view.threshold !== null) return p > view.threshold ? "yes" : "no";
  if (person.decisions) return { yes: "yes", no: "no" }[person.decisions[id]] ?? "perhaps";
  return person.told.has(id) ? "yes" : "no";
}

/** Labels in two lists, best first: what is sure, and what is more likely than not. */
export function described(person, labels, view) {
  const rows = labels
    .map((label) => ({ label, p: person.probabilities[label.id] ?? 0, answer: answer(person, label.id, view) }))
    .sort((a, b) => b.p - a.p);
  const yes = rows.filter((row) => row.answer === "yes");
  const perhaps = rows.filter((row) => row.answer === "perhaps" && person.likely.has(row.label.id));
  return { yes: oneColour(yes), perhaps: silent(person, view) ? [] : perhaps };
}

/** One threshold may let two colours of a part through: the likeliest stands for it. */
function oneColour(rows) {
  const parts = new Set();
  return rows.filter(({ label }) => {
    const part = colourPart(label);
    if (part === null) return true;
    return parts.has(part) ? false : parts.add(part);
  });
}

/** Whether nothing is said of a person because he or she cannot be judged. */
export const silent = (person, view) => !person.judgeable && view.threshold === null;

/** Whether one condition holds; someone who cannot be judged meets none. */
function holds(person, { id, wanted }, view) {
  if (silent(person, view)) return false;
  const said = answer(person, id, view);
  if (said !== "perhaps") return (said === "yes") === wanted;
  if (view.counts === "possible") return true;
  return view.counts === "likely" && person.likely.has(id) === wanted;
}

/** Whether a person meets every condition of the filter. */
export const matches = (person, view) => view.conditions.every((condition) => holds(person, condition, view));

/** How many of these persons would meet a single condition. */
export const count = (persons, condition, view) => persons.filter((person) => holds(person, condition, view)).length;

const SPLIT = /\s*(?:[,;+&，、；。]|\b(?:and|but|with|wearing)\b|和|且|与|并且|但)\s*/iu;
const NEGATED = /^(?:(?:no|not|without)\s+|[-!−]\s*|没有|没|无|不戴|不穿|不带|不|非)/iu;

const plain = (text) => text.toLowerCase().trim();

/** Labels whose names fit a word, the closest alone where one fits exactly. */
export function labelsNamed(term, labels) {
  const word = plain(term);
  if (!word) return [];
  const names = (label) => [label.en, label.zh, label.id.replaceAll("_", " "), label.id].filter(Boolean).map(plain);
  const exact = labels.filter((label) => names(label).some((name) => name === word || `${name}s` === word));
  if (exact.length) return exact;
  const starts = labels.filter((label) => names(label).some((name) => name.startsWith(word)));
  if (starts.length === 1) return starts;
  const inside = labels.filter((label) => names(label).some((name) => name.includes(word)));
  return inside.length || !/s$/u.test(word) ? inside : labelsNamed(word.slice(0, -1), labels);
}

/**
 * Read "backpack and no hat".
 * @returns {{conditions: object[], unknown: string[], several: string[]}} words that fit no label or more than one
 */
export function readFilter(text, labels) {
  const found = { conditions: [], unknown: [], several: [] };
  const terms = text
    .replace(/\b(no|not|without)\b/giu, ",$1")
    .split(SPLIT)
    .map((term) => term.trim());
  for (const term of terms.filter(Boolean)) {
    const wanted = !NEGATED.test(term);
    const word = term.replace(NEGATED, "").replace(/^(?:an?|the|any)\s+/iu, "");
    const fits = labelsNamed(word, labels);
    if (fits.length === 1) found.conditions.push({ id: fits[0].id, wanted });
    else (fits.length ? found.several : found.unknown).push(word || term);
  }
  return found;
}
