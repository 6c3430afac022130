// The engine behind the page when `overtone studio` runs: every call is a request to it.

export const where = "Files are worked on by overtone on this computer; nothing leaves it.";
export const formats = ["wav", "flac", "mp3", "opus"];
export const live = null;
export const firstSeconds = Infinity;

async function ask(path, init) {
  const answer = await fetch(path, init);
  if (answer.ok) return answer;
  const { detail } = await answer.json().catch(() => ({}));
  throw new Error(detail ?? `the service answered ${answer.status}`);
}

export async function models() {
  const named = await (await ask("v1/models")).json();
  const auto = { name: "auto", description: "speech or music, whichever it is", has_fidelity: true, is_default: true };
  return [auto, ...named.map((model) => ({ ...model, is_default: false }))];
}

export async function given() {
  return (await ask("studio/files")).json();
}

/** Take a file over: {id, name}. */
export async function open(file) {
  const headers = { "Content-Type": "application/octet-stream" };
  const path = `studio/files?name=${encodeURIComponent(file.name)}`;
  return (await ask(path, { method: "POST", body: file, headers })).json();
}

/** Rate, channels, duration, cutoff and the outline of an open file. */
export async function look(file) {
  return (await ask(`studio/files/${file.id}`)).json();
}

/** Some seconds: {rate, channels: [Float32Array], cutoff, warning}. */
export async function section(file, { start, duration, enhanced }, options, signal) {
  const query = new URLSearchParams({ ...options, start, duration, enhanced });
  const answer = await ask(`studio/files/${file.id}/section?${query}`, { signal });
  const told = JSON.parse(answer.headers.get("X-Overtone-Section"));
  const mixed = new Float32Array(await answer.arrayBuffer());
  const channels = Array.from({ length: told.channels }, (_, channel) =>
    Float32Array.from({ length: mixed.length / told.channels }, (_, n) => mixed[n * told.channels + channel]));
  return { ...told, channels };
}

/** The whole file, enhanced, as a Blob; `progress` is told the part that is done. */
export async function enhance(file, options, progress) {
  const query = new URLSearchParams(options);
  const job = await (await ask(`studio/files/${file.id}/jobs?${query}`, { method: "POST" })).json();
  const path = `v1/jobs/${job.id}`;
  const events = new EventSource(`${path}/events`);
  await new Promise((resolve, reject) => {
    events.onmessage = ({ data }) => {
      const state = JSON.parse(data);
      progress(state.progress);
      if (state.state === "done") resolve();
      if (state.state === "failed") reject(new Error(state.error));
    };
    events.onerror = () => reject(new Error("the service does not answer any more"));
  }).finally(() => events.close());
  const blob = await (await ask(`${path}/result`)).blob();
  await fetch(path, { method: "DELETE" });
  return blob;
}

export function close(file) {
  return fetch(`studio/files/${file.id}`, { method: "DELETE" });
}
