// SPDX-License-Identifier: Apache-2.0
// Describe pictures by the service, with Node 18 or newer and nothing else. The same calls work in a browser whose
// page the service allows by --cors-origin.
//   node examples/client.mjs PICTURE [PICTURE ...]
// SERVICE=ADDRESS names another service, KEY_FILE=FILE a file with the API key.
import { readFile } from "node:fs/promises";
import { basename } from "node:path";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";

const SERVICE = process.env.SERVICE ?? "http://127.0.0.1:8080";
const PATIENCE_MS = 120_000;

async function headers() {
  if (!process.env.KEY_FILE) return {};
  const key = (await readFile(process.env.KEY_FILE, "utf8")).trim();
  return { Authorization: `Bearer ${key}` };
}

/** All pictures in one request: one answer, in their order. */
async function describe(files) {
  const form = new FormData();
  for (const file of files) form.append("image", new Blob([await readFile(file)]), basename(file));
  form.append("labels", "en");
  form.append("visualize", "false");
  const end = Date.now() + PATIENCE_MS;
  for (;;) {
    const answer = await fetch(`${SERVICE}/pedestrian-attribute-recognition`, {
      method: "POST",
      headers: await headers(),
      body: form,
      signal: AbortSignal.timeout(60_000),
    });
    if (answer.ok) return (await answer.json()).result;
    const wait = 1000 * Number(answer.headers.get("Retry-After") ?? 1);
    const retry = answer.status === 429 || answer.status === 503;
    if (!retry || Date.now() + wait > end) throw new Error((await answer.json()).errorMsg);
    await answer.body?.cancel();
    await sleep(wait);
  }
}

const files = process.argv.slice(2);
if (files.length === 0) {
  console.error("usage: node examples/client.mjs PICTURE [PICTURE ...]");
  process.exit(2);
}
try {
  const result = await describe(files);
  const results = result.results ?? [result]; // one picture has its result alone
  results.forEach((one, number) => console.log(JSON.stringify({ input: files[number], ...one })));
  if (results.some((one) => one.error)) process.exitCode = 1;
} catch (error) {
  console.error(error.message);
  process.exitCode = 1;
}
