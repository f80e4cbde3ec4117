// SPDX-License-Identifier: Apache-2.0
// Pictures wait here and are asked about two at a time. One that fails does not stop the others; a busy service is
// asked again when it says so; a service that is gone, or wants a key, makes the queue wait for the user.

import { decode, smaller, thumbnail } from "./pictures.js";
import { personsOf } from "./persons.js";
import { describe, facts, LOWEST_SCORE, ServiceError } from "./service.js";
import { changed, state } from "./store.js";

const AT_ONCE = 2;
const MAX_BYTES = 32 * 1024 * 1024; // the service's own limit for a body, unless the operator changed it
const SMALLER_PIXELS = [24e6, 4e6]; // tried in turn when a picture is too large for the service
const PATIENCE_MS = 180_000; // a service that starts, or a long queue of others, may take minutes
const LONGEST_WAIT_S = 30;
const COMES_BACK_MS = 5000;
// a body that takes longer than the service waits is too large for the way there
const TOO_LARGE = ["request_too_large", "image_too_large", "input_too_large", "request_timeout"];
const BUSY = ["overloaded", "rate_limited", "not_ready", "interrupted"];
const PICTURE_NAME =
  /\.(jpe?g|jpe|jfif|mpo|png|apng|gif|webp|avif|tiff?|bmp|dib|p[bgpn]m|pfm|ras|sr|heic|heif|jxl|svg)$/iu;

let running = 0;
let next = 1;
let stop = new AbortController();

/** Whether a file may be a picture, by its type or, where the browser knows none, by its name. */
export const maybePicture = (file) => file.type.startsWith("image/") || PICTURE_NAME.test(file.name);

/** Add files to the end of the queue and show the first of them; what is no picture is an error in its place. */
export function add(files, { place = "" } = {}) {
  const items = files.map((file) => ({
    id: next++,
    file,
    name: file.webkitRelativePath || file.path || file.name || place,
    status: maybePicture(file) ? "waiting" : "error",
    error: maybePicture(file) ? null : new ServiceError("not_a_picture", ""),
    persons: null,
    size: null,
    scaled: null,
    thumb: null,
    retryAt: null,
  }));
  state.items.push(...items);
  if (items.length) show(items[0]);
  changed("items");
  work();
  return items;
}

/** Look at another picture. */
export function show(item) {
  state.current = item;
  state.selected = null;
  state.hovered = null;
  changed("current", "selected");
}

/** Forget every picture and every request under way. */
export function clear() {
  stop.abort();
  stop = new AbortController();
  for (const item of state.items) if (item.thumb) URL.revokeObjectURL(item.thumb);
  state.items = [];
  state.paused = null;
  show(null);
  changed("items", "paused");
}

/** Ask about a picture once more. */
export function again(item) {
  item.status = "waiting";
  item.error = null;
  changed("items", "current");
  resume();
}

/** Go on after a pause. */
export function resume() {
  state.paused = null;
  changed("paused");
  work();
}

function pause(why) {
  state.paused = why;
  changed("paused", "items", "current");
  if (why === "offline") setTimeout(() => state.paused === "offline" && resume(), COMES_BACK_MS);
}

function work() {
  while (running < AT_ONCE && !state.paused) {
    const item = state.items.find((one) => one.status === "waiting");
    if (!item) return;
    running += 1;
    item.status = "busy";
    touched(item);
    answer(item, stop.signal)
      .catch((error) => failed(item, error))
      .finally(() => {
        running -= 1;
        touched(item);
        work();
      });
  }
}

function touched(item) {
  changed("items", ...(item === state.current ? ["current"] : []));
}

function failed(item, error) {
  if (error.name === "AbortError") return;
  if (error.name === "unauthorized" || error.name === "offline") {
    item.status = "waiting";
    pause(error.name === "offline" ? "offline" : error.tried ? "wrong_key" : "key");
    return;
  }
  item.status = "error";
  item.error = error instanceof ServiceError ? error : new ServiceError("page", String(error));
}

/** Everything about one picture: its thumbnail, the request with its repetitions, the persons. */
async function answer(item, signal) {
  const bitmap = await decode(item.file);
  if (bitmap) {
    item.thumb = await thumbnail(bitmap);
    bitmap.close();
    touched(item);
  }
  await knowLabels(item, signal);
  const result = await askFitting(item, signal);
  const factor = item.scaled ? item.scaled.from[0] / item.scaled.to[0] : 1;
  item.persons = personsOf(result, state.facts.labels, factor);
  item.size = item.scaled ? item.scaled.from : result.size;
  item.status = "done";
  if (item === state.current) changed("selected");
}

let asking = null;

async function knowLabels(item, signal) {
  if (state.facts) return;
  asking ??= patiently(item, signal, facts).finally(() => {
    asking = null;
  });
  const told = await asking;
  if (state.facts) return;
  state.facts = told;
  state.view.detThreshold = told.det_threshold ?? 0.5;
  changed("view");
}

/** Ask; when the service finds the picture too large or of a kind it does not read, ask with a copy it takes. */
async function askFitting(item, signal) {
  let blob = item.file;
  const sizes = [...SMALLER_PIXELS];
  const lowest = Math.min(LOWEST_SCORE, state.view.detThreshold);
  if (blob.size > MAX_BYTES) blob = await copyOf(item, sizes.shift());
  for (;;) {
    try {
      return await patiently(item, signal, () => describe(blob, { lowest, signal }));
    } catch (error) {
      const unread = error.name === "image_refused" && blob === item.file;
      if (!unread && !(TOO_LARGE.includes(error.name) && sizes.length)) throw error;
      blob = await copyOf(item, sizes.shift(), error);
    }
  }
}

async function copyOf(item, pixels, error = new ServiceError("request_too_large", "")) {
  const copy = await smaller(item.file, pixels);
  if (copy === null) throw error;
  item.scaled = { from: copy.from, to: copy.to, why: error.name };
  return copy.blob;
}

/** Ask until the service is no longer busy, at the times it names. */
async function patiently(item, signal, request) {
  const end = Date.now() + PATIENCE_MS;
  for (let tries = 1; ; tries += 1) {
    try {
      return await request();
    } catch (error) {
      if (!BUSY.includes(error.name) || Date.now() > end) throw error;
      const seconds = Math.min(LONGEST_WAIT_S, error.retryAfter ?? 2 ** tries);
      item.retryAt = Date.now() + seconds * 1000;
      touched(item);
      await pauseFor(seconds, signal);
      item.retryAt = null;
      touched(item);
    }
  }
}

function pauseFor(seconds, signal) {
  return new Promise((done, left) => {
    const timer = setTimeout(done, seconds * 1000);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      left(new DOMException("left", "AbortError"));
    });
  });
}
