// SPDX-License-Identifier: Apache-2.0
// The one place that talks to the service. Nothing but this page's own origin is ever asked.

// Asked for once, so that the slider can go down to it without another request.
export const LOWEST_SCORE = 0.1;

// In memory alone: gone when the page is closed.
let key = "";

export const useKey = (value) => {
  key = value;
};

/** A named error of the service, or "offline" where there was no answer at all. */
export class ServiceError extends Error {
  constructor(name, message, { status = 0, logId = null, retryAfter = null } = {}) {
    super(message);
    this.name = name;
    this.status = status;
    this.logId = logId;
    this.retryAfter = retryAfter;
    this.tried = key !== ""; // whether a key went with the request
  }
}

/** What the service's models can say. */
export const facts = () => ask("labels", { method: "GET" });

/**
 * Have one picture described: every person from `lowest` on, all probabilities, no drawn picture.
 * The file's name is not sent.
 */
export function describe(blob, { lowest, signal }) {
  const query = new URLSearchParams({
    details: "true",
    visualize: "false",
    labels: "en",
    detThreshold: String(lowest),
  });
  const type = /^image\//u.test(blob.type) ? blob.type : "image/x-unknown";
  return ask(`pedestrian-attribute-recognition?${query}`, {
    method: "POST",
    body: blob,
    headers: { "Content-Type": type },
    signal,
  });
}

async function ask(path, { headers = {}, ...options }) {
  const all = key ? { ...headers, Authorization: `Bearer ${key}` } : headers;
  let response;
  let body;
  try {
    response = await fetch(path, {
      ...options,
      headers: all,
      cache: "no-store",
      credentials: "omit",
      redirect: "error",
    });
    body = await response.text();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    // a file that was changed or taken away since it was chosen fails the same way
    if (options.body && !(await readable(options.body))) throw new ServiceError("file_gone", "");
    throw new ServiceError("offline", "no answer");
  }
  const answer = parsed(body);
  if (response.ok && answer?.result) return answer.result;
  throw failure(response, answer);
}

const readable = (blob) =>
  blob
    .slice(0, 1)
    .arrayBuffer()
    .then(
      () => true,
      () => false,
    );

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

function failure(response, answer) {
  const said = typeof answer?.errorMsg === "string" ? answer.errorMsg : "";
  const [, name, message] = /^([a-z_]+): (.*)$/su.exec(said) ?? [null, byStatus(response.status), said];
  const seconds = Number.parseFloat(response.headers.get("Retry-After") ?? "");
  return new ServiceError(name, message, {
    status: response.status,
    logId: typeof answer?.logId === "string" ? answer.logId : null,
    retryAfter: Number.isFinite(seconds) ? seconds : null,
  });
}

/** For answers that are not the service's own, such as those of a proxy in between. */
function byStatus(status) {
  const names = {
    401: "unauthorized",
    413: "request_too_large",
    429: "rate_limited",
    503: "overloaded",
    504: "deadline_exceeded",
  };
  return names[status] ?? (status === 502 ? "offline" : "internal");
}
