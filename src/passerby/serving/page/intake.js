// SPDX-License-Identifier: Apache-2.0
// Ways in: drop, paste, choose, photograph, a folder, the bundled street.

import { byId } from "./dom.js";
import { add, maybePicture } from "./queue.js";
import { announce, say } from "./speech.js";

const byName = new Intl.Collator(undefined, { numeric: true }).compare;

/** Wire every way in. `busy(true)` shows that a drop is possible. */
export function listen(dropping) {
  for (const id of ["choose", "photograph", "folder"]) {
    byId(`${id}-input`).addEventListener("change", (event) => {
      const files = [...event.target.files];
      event.target.value = "";
      if (id === "folder") takeFolder(files);
      else add(files);
    });
  }
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-open]");
    if (!button) return;
    if (button.dataset.open === "street") street();
    else byId(`${button.dataset.open}-input`).click();
  });
  document.addEventListener("paste", pasted);
  drops(dropping);
}

function takeFolder(files) {
  const pictures = files.filter((file) => maybePicture(file) && !file.name.startsWith("."));
  pictures.sort((a, b) => byName(a.webkitRelativePath || a.path || a.name, b.webkitRelativePath || b.path || b.name));
  add(pictures);
  const left = files.length - pictures.length;
  if (!pictures.length) announce(say("folder_empty"), { shown: true });
  else if (left) announce(say("left_out", { n: left }), { shown: true });
}

function pasted(event) {
  const files = [...(event.clipboardData?.files ?? [])];
  if (!files.length) return;
  event.preventDefault();
  add(files, { place: say("pasted_name") });
}

/** The bundled picture is this service's own; it goes the same way as any other. */
async function street() {
  try {
    const response = await fetch("page/street.jpg");
    if (!response.ok) throw new Error(String(response.status));
    add([new File([await response.blob()], "street.jpg", { type: "image/jpeg" })]);
  } catch {
    announce(say("street_missing"), { shown: true });
  }
}

function drops(dropping) {
  let depth = 0; // enter and leave fire for every child
  const files = (event) => event.dataTransfer?.types.includes("Files");
  document.addEventListener("dragenter", (event) => {
    if (!files(event)) return;
    depth += 1;
    dropping(true);
  });
  document.addEventListener("dragleave", (event) => {
    if (!files(event)) return;
    depth = Math.max(0, depth - 1);
    if (!depth) dropping(false);
  });
  document.addEventListener("dragover", (event) => {
    if (files(event)) event.preventDefault();
  });
  document.addEventListener("drop", (event) => {
    if (!files(event)) return;
    event.preventDefault();
    depth = 0;
    dropping(false);
    dropped(event.dataTransfer);
  });
}

async function dropped(transfer) {
  // entries must be taken before the first await: the list is empty afterwards
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.some((entry) => entry.isDirectory)) {
    add([...transfer.files]);
    return;
  }
  const found = [];
  for (const entry of entries) await walk(entry, found);
  takeFolder(found);
}

async function walk(entry, found) {
  if (entry.isFile) {
    const file = await new Promise((done) => entry.file(done, () => done(null)));
    if (file) {
      file.path = entry.fullPath.replace(/^\//u, "");
      found.push(file);
    }
    return;
  }
  const reader = entry.createReader();
  for (;;) {
    const some = await new Promise((done) => reader.readEntries(done, () => done([])));
    if (!some.length) return;
    for (const child of some) await walk(child, found);
  }
}
