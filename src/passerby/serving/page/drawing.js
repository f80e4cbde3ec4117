// SPDX-License-Identifier: Apache-2.0
// The picture with boxes and labels, drawn at full size for the download.

import { described, silent } from "./persons.js";
import { canvasOf, fileOf } from "./pictures.js";
import { labelName, say } from "./speech.js";
import { state } from "./store.js";

const PALETTE = "#35b6ff #ffb000 #3ddc97 #ff6fa3 #b79cff #f4e04d #ff8552 #5ce1e6 #f29cff #a6e05a #ffc6a5 #8fb4ff".split(
  " ",
);
const FONT =
  "system-ui, 'Segoe UI', Roboto, 'Noto Sans', 'Noto Sans CJK SC', 'PingFang SC', 'Microsoft YaHei', sans-serif";
const MOST_LINES = 9;
const SMALLER_PX = 4096;

/**
 * Draw persons on a picture.
 * @returns {Promise<{blob: Blob | null, whole: boolean}>} `whole`: whether it has all pixels of the original
 */
export async function annotated(bitmap, persons) {
  for (const side of [Infinity, SMALLER_PX]) {
    const canvas = canvasOf(bitmap, side);
    paint(canvas, persons, canvas.width / bitmap.width);
    const blob = await fileOf(canvas, "image/jpeg");
    if (blob) return { blob, whole: side === Infinity };
  }
  return { blob: null, whole: false };
}

function paint(canvas, persons, scale) {
  const context = canvas.getContext("2d");
  const unit = Math.max(1, Math.sqrt(canvas.width * canvas.height) / 960);
  const scaled = persons.map((person) => ({
    person,
    box: person.box.map((v) => v * scale),
    colour: PALETTE[(person.number - 1) % PALETTE.length],
  }));
  for (const one of scaled) outline(context, one, unit);
  const taken = [];
  for (const one of scaled) panel(context, canvas, one, unit, taken);
}

function outline(context, { person, box: [x1, y1, x2, y2], colour }, unit) {
  context.save();
  if (!person.judgeable) context.setLineDash([6 * unit, 5 * unit]);
  for (const [width, style] of [
    [4.5 * unit, "rgba(0, 0, 0, 0.45)"],
    [2.2 * unit, colour],
  ]) {
    context.lineWidth = width;
    context.strokeStyle = style;
    context.beginPath();
    context.roundRect(x1, y1, x2 - x1, y2 - y1, 3 * unit);
    context.stroke();
  }
  context.restore();
}

/** Lines of a person's panel: number, what is sure, what is perhaps. */
function lines(person) {
  const head = { text: String(person.number), head: true };
  if (silent(person, state.view)) return [head, { text: say("cannot"), faint: true }];
  const { yes, perhaps } = described(person, state.facts.labels, state.view);
  const all = [
    ...yes.map((row) => ({ text: labelName(row.label) })),
    ...perhaps.map((row) => ({ text: `${labelName(row.label)}?`, faint: true })),
  ];
  return [head, ...all.slice(0, MOST_LINES), ...(all.length > MOST_LINES ? [{ text: "…", faint: true }] : [])];
}

function panel(context, canvas, { person, box, colour }, unit, taken) {
  const size = Math.round(12 * unit);
  const pad = 5 * unit;
  const rows = lines(person);
  const height = rows.length * size * 1.3 + 2 * pad;
  context.font = `600 ${size}px ${FONT}`;
  const width = Math.max(...rows.map((row) => context.measureText(row.text).width)) + 2 * pad;
  const spot = place(canvas, box, width, height, taken, 3 * unit);
  taken.push(spot);
  context.fillStyle = "rgba(18, 22, 28, 0.8)";
  context.beginPath();
  context.roundRect(spot.x, spot.y, width, height, 4 * unit);
  context.fill();
  context.textBaseline = "middle";
  rows.forEach((row, index) => {
    const y = spot.y + pad + (index + 0.5) * size * 1.3;
    context.font = `${row.head ? 700 : 500} ${size}px ${FONT}`;
    context.fillStyle = row.head ? colour : row.faint ? "rgba(255, 255, 255, 0.66)" : "#fff";
    context.fillText(row.text, spot.x + pad, y);
  });
}

/** The place beside or in the box where the panel covers least of other panels. */
function place(canvas, [x1, y1, x2, y2], width, height, taken, gap) {
  const candidates = [
    [x2 + gap, y1],
    [x1 - width - gap, y1],
    [x1, y1 - height - gap],
    [x1, y2 + gap],
    [x1 + gap, y1 + gap],
  ];
  const spots = candidates.map(([x, y]) => ({
    x: Math.max(0, Math.min(x, canvas.width - width)),
    y: Math.max(0, Math.min(y, canvas.height - height)),
    width,
    height,
  }));
  const covered = (spot) =>
    taken.reduce((sum, other) => sum + overlap(spot, other), 0) +
    0.15 * overlap(spot, { x: x1, y: y1, width: x2 - x1, height: y2 - y1 });
  return spots.reduce((best, spot) => (covered(spot) < covered(best) ? spot : best));
}

function overlap(a, b) {
  const w = Math.min(a.x + a.width, b.x + b.width) - Math.max(a.x, b.x);
  const h = Math.min(a.y + a.height, b.y + b.height) - Math.max(a.y, b.y);
  return w > 0 && h > 0 ? w * h : 0;
}
