// SPDX-License-Identifier: Apache-2.0
// What the page knows, in one place. Who changes it names the topic; who shows it listens to topics.
// Topics: items (queue, thumbnails), current (another picture or its answer), view (sliders, filter),
// selected (the person looked at), language, paused (the queue stands still).

export const state = {
  items: [], // pictures in the order they came, see queue.js
  current: null, // the item shown
  selected: null, // number of the person looked at, 1.. as in the service's answer
  hovered: null, // number of the person under the pointer
  facts: null, // what GET /labels tells: labels, det_threshold, ...
  view: {
    detThreshold: 0.5,
    threshold: null, // null: as the model decides; else one threshold for every attribute
    conditions: [], // [{id, wanted: true | false}]
    counts: "likely", // what the filter counts of "perhaps": nothing ("sure"), what is likely, or all ("possible")
  },
  paused: null, // null | "offline" | "key"
  language: "en",
};

const listeners = [];
const waiting = new Set();

/** Run `run(topics)` once after any of these topics changed. */
export function on(topics, run) {
  listeners.push({ topics, run });
}

/** Tell that topics changed; listeners run together in the next microtask, each once. */
export function changed(...topics) {
  if (!waiting.size) queueMicrotask(flush);
  for (const topic of topics) waiting.add(topic);
}

function flush() {
  const now = new Set(waiting);
  waiting.clear();
  for (const { topics, run } of listeners) {
    if (topics.some((topic) => now.has(topic))) run(now);
  }
}
