// The engine that works in the browser: files are decoded here, enhanced in a worker, and stay.

import { wav } from "./recorder.js";
import { sampleRate } from "./sniff.js";

export const where = "Everything happens in this browser; nothing is uploaded, and it works without a network.";
export const formats = ["wav"];
// Enhanced before the rest, to be heard at once.
export const firstSeconds = 2;

const worker = new Worker("worker.js", { type: "module" });
const pending = new Map();
let asked = 0;

worker.onmessage = ({ data: { id, progress, error, result } }) => {
  const waiting = pending.get(id);
  if (progress !== undefined) {
    waiting?.progress?.(progress);
    return;
  }
  pending.delete(id);
  if (error) waiting.reject(new Error(error));
  else waiting.resolve(result);
};
worker.onerror = ({ message }) => {
  for (const { reject } of pending.values()) reject(new Error(message));
  pending.clear();
};

function ask(type, values = {}, { progress, transfer = [] } = {}) {
  const id = ++asked;
  return new Promise((resolve, reject) => {
    pending.set(id, { resolve, reject, progress });
    worker.postMessage({ id, type, ...values }, transfer);
  });
}

if ("serviceWorker" in navigator) {
  // It keeps the page for when there is no network, and lets WebAssembly have threads.
  navigator.serviceWorker.register("sw.js").then(() => navigator.serviceWorker.ready).then(() => {
    document.body.dataset.offline = "ready";
    const tried = sessionStorage.getItem("isolated");
    if (!crossOriginIsolated && !tried && !document.getElementById("files").children.length) {
      sessionStorage.setItem("isolated", "tried");
      location.reload();
    }
  }).catch(() => {});
}

export const models = () => ask("models");
export const given = async () => [];

/** Decode a file at its own rate, if the model takes that, else at 48 kHz. */
export async function open(file) {
  const bytes = await file.arrayBuffer();
  if (!bytes.byteLength) throw new Error("is empty (0 bytes)");
  const own = sampleRate(new DataView(bytes));
  const rate = own >= 3000 && [48000, 44100].some((out) => out % own === 0) ? own : 48000;
  let buffer;
  try {
    buffer = await new OfflineAudioContext(1, 1, rate).decodeAudioData(bytes);
  } catch {
    throw new Error("is not audio that this browser can read; convert it to WAV, FLAC or MP3");
  }
  const channels = Array.from({ length: buffer.numberOfChannels }, (_, c) => buffer.getChannelData(c).slice());
  const opened = { id: crypto.randomUUID(), name: file.name };
  opened.facts = await ask("open", { file: opened.id, rate, own: own || rate, channels }, { transfer: channels.map((c) => c.buffer) });
  return opened;
}

export const look = async (file) => file.facts;
export const close = (file) => ask("close", { file: file.id });
export const section = (file, seconds, options) => ask("section", { file: file.id, ...seconds, options });

export async function enhance(file, options, progress) {
  const { channels, rate } = await ask("enhance", { file: file.id, options }, { progress });
  return wav(channels, rate);
}

/** The microphone, enhanced, to the headphones: {latency (s), stop}. */
export async function live(options) {
  const raw = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };
  const stream = await navigator.mediaDevices.getUserMedia({ audio: { ...raw, channelCount: 1 } });
  const context = new AudioContext({ sampleRate: 48000, latencyHint: "interactive" });
  await context.audioWorklet.addModule("worklet.js");
  const { port1, port2 } = new MessageChannel();
  const { latency, held } = await ask("live", { options, port: port1 }, { transfer: [port1] });
  const node = new AudioWorkletNode(context, "through", { processorOptions: { held } });
  node.port.postMessage({ port: port2 }, [port2]);
  context.createMediaStreamSource(stream).connect(node).connect(context.destination);
  return {
    latency: latency + held / 48000 + context.baseLatency + (context.outputLatency || 0),
    async stop() {
      for (const track of stream.getTracks()) track.stop();
      await context.close();
      await ask("quiet");
    },
  };
}
