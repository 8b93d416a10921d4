// Requests as they go over the wire: V1, an image's own bytes where it has no parameters, JSON otherwise.
//
// A request is {service, parameters}, the service as settings.js has it, with either file, a File, or windows, lists of numbers.

import { sentence } from "./dom.js";
import { settings } from "./settings.js";

// What a server or the network refused, in words for people. `waitS`: seconds until it is worth trying again; null
// where the same request would fail again.
export class Failure extends Error {
  constructor(message, waitS = null) {
    super(message);
    this.waitS = waitS;
  }
}

const ENVELOPE_BYTES = 300; // of JSON around an image
const AGAIN = { 429: 1, 502: 1, 503: 2, 504: 1 }; // seconds, where the server names none
const encoded = new WeakMap();

export function hasParameters(request) {
  return Object.keys(request.parameters).length > 0;
}

export function base64(file) {
  if (!encoded.has(file)) {
    encoded.set(
      file,
      new Promise((resolve, reject) => {
        const reader = new FileReader();
        reader.onload = () => resolve(reader.result.slice(reader.result.indexOf(",") + 1));
        reader.onerror = () => reject(new Failure(`${file.name} cannot be read.`));
        reader.readAsDataURL(file);
      }),
    );
  }
  return encoded.get(file);
}

export function contentType(request) {
  if (request.windows || hasParameters(request)) return "application/json";
  return request.file.type || "application/octet-stream";
}

export function v1Json(request, image) {
  const instances = request.windows ?? [{ image: { b64: image } }];
  return JSON.stringify({ instances, ...(hasParameters(request) && { parameters: request.parameters }) });
}

export function address(request) {
  return `/v1/models/${request.service.name}:predict`;
}

// Sends a request and reads its answer: {predictions, stages: [[name, ms]], totalMs}.
export async function ask(request, signal) {
  if (request.file) checkSize(request);
  const bare = request.file && !hasParameters(request);
  const body = bare ? request.file : v1Json(request, request.file && (await base64(request.file)));
  const started = performance.now();
  let response, text;
  try {
    response = await fetch(address(request), {
      method: "POST",
      headers: { "Content-Type": contentType(request), Accept: "application/json" },
      body,
      signal,
    });
    text = await response.text();
  } catch (error) {
    if (signal.aborted) throw error;
    throw new Failure(
      navigator.onLine ? `Nothing answers at ${location.host}: is the server still running?` : "You are offline.",
      0,
    );
  }
  const totalMs = performance.now() - started;
  const answer = parsed(text);
  if (!response.ok || !answer) throw refusal(response, answer);
  return { predictions: answer.predictions, stages: stages(response.headers.get("Server-Timing")), totalMs };
}

// What the server says of a service, as V2 has it; null where it says nothing.
export async function metadata({ name }) {
  const response = await fetch(`/v2/models/${name}`).catch(() => null);
  return response?.ok ? response.json() : null;
}

function checkSize(request) {
  const { size, name } = request.file;
  const bytes = hasParameters(request) ? 4 * Math.ceil(size / 3) + ENVELOPE_BYTES : size;
  if (bytes <= settings.maxBodyBytes) return;
  const limit = hasParameters(request) ? ((settings.maxBodyBytes - ENVELOPE_BYTES) * 3) / 4 : settings.maxBodyBytes;
  throw new Failure(`${name} has ${megabytes(size)}; this server takes images of up to ${megabytes(limit)} here.`);
}

function megabytes(bytes) {
  return bytes < 1e6 ? `${Math.round(bytes / 1e3)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

function refusal(response, answer) {
  const told = answer?.error ?? `the server answered ${response.status} ${response.statusText}`;
  const wait = Number(response.headers.get("Retry-After")) || AGAIN[response.status];
  return new Failure(sentence(told), wait ?? null);
}

// Server-Timing, as our server writes it: `name;dur=1.2, name;dur=3.4`.
function stages(header) {
  return [...(header ?? "").matchAll(/([\w-]+);dur=([\d.]+)/g)].map(([, name, ms]) => [name, Number(ms)]);
}
