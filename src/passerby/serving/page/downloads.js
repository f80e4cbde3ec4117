// SPDX-License-Identifier: Apache-2.0
// The menu of downloads.

import { byId, h } from "./dom.js";
import { annotated } from "./drawing.js";
import { csvText, hand, jsonText, stemOf, told } from "./files_out.js";
import { decode } from "./pictures.js";
import { announce, say } from "./speech.js";
import { on, state } from "./store.js";

export function start() {
  const button = byId("download");
  button.addEventListener("click", () => toggle(byId("downloads").hidden));
  document.addEventListener("click", (event) => {
    if (!event.target.closest(".menu")) toggle(false);
  });
  byId("downloads").addEventListener("keydown", keys);
  on(["items", "current", "language"], () => {
    button.disabled = !state.items.some((item) => item.status === "done");
    if (button.disabled) toggle(false);
  });
}

/** Close the menu; tells whether it was open. */
export function close() {
  if (byId("downloads").hidden) return false;
  toggle(false);
  byId("download").focus();
  return true;
}

function toggle(open) {
  const list = byId("downloads");
  if (open) list.replaceChildren(...entries(), h("p", { class: "small faint", text: say("download_hint") }));
  list.hidden = !open;
  byId("download").setAttribute("aria-expanded", String(open));
  if (open) list.querySelector("button")?.focus();
}

function entries() {
  const item = state.current;
  const done = state.items.filter((one) => one.status === "done" || one.status === "error");
  const stem = stemOf(item.name);
  const made = [];
  const entry = (id, text, run) =>
    made.push(h("button", { type: "button", id, class: "menu-entry", text, on: { click: () => (close(), run()) } }));
  if (item.status === "done") {
    entry("download-picture", say("download_picture"), () => picture(item, stem));
    entry("download-json", say("download_json"), () => text(jsonText([item]), "application/json", `${stem}.json`));
    entry("download-csv", say("download_csv"), () => text(csvText([item]), "text/csv", `${stem}.csv`));
  }
  if (done.length > 1) {
    const n = done.length;
    entry("download-json-all", say("download_json_all", { n }), () =>
      text(jsonText(done), "application/json", "passerby.json"),
    );
    entry("download-csv-all", say("download_csv_all", { n }), () => text(csvText(done), "text/csv", "passerby.csv"));
  }
  return made;
}

const text = (body, type, name) => hand(new Blob([body], { type: `${type};charset=utf-8` }), name);

async function picture(item, stem) {
  const bitmap = await decode(item.file, item.size);
  const { blob, whole } = bitmap ? await annotated(bitmap, told(item)) : { blob: null };
  bitmap?.close();
  if (!blob) {
    announce(say(bitmap ? "download_failed" : "cannot_show"), { shown: true });
    return;
  }
  if (!whole) announce(say("download_smaller"), { shown: true });
  hand(blob, `${stem}_passerby.jpg`);
}

function keys(event) {
  if (event.key !== "ArrowDown" && event.key !== "ArrowUp") return;
  event.preventDefault();
  const buttons = [...byId("downloads").querySelectorAll("button")];
  const at = buttons.indexOf(document.activeElement);
  buttons[(at + (event.key === "ArrowDown" ? 1 : -1) + buttons.length) % buttons.length]?.focus();
}
