// Decoded files, the model, and the work on them, away from the page's own thread.

import { analyse, plan } from "./analysis.js";
import { EnhanceStream, whiteNoise } from "./dsp.js";
import { load } from "./model.js";

const LEAD_S = 2, LONGEST_PEAKS = 2000;
// Two hops of the model at a time, and as much again in hand against late blocks.
const LIVE_BLOCK = 512, LIVE_HELD = 1024;
// Its kernel for Expand does not compile for bytes (onnxruntime-web 1.30).
const GPU = { name: "webgpu", forceCpuNodeNames: ["q_zero_rows"] };
const SPEECH_DBFS = -26, LIVE_CUTOFF_HZ = 4000;

const files = new Map();
let session = null;
let living = null;

/** The model; on the GPU where there is one that can, else in WebAssembly with all threads it may have. */
async function model() {
  return session ??= (async () => {
    const threads = self.crossOriginIsolated ? Math.min(4, navigator.hardwareConcurrency || 1) : 1;
    const adapter = await navigator.gpu?.requestAdapter().catch(() => null);
    if (adapter && !adapter.info?.isFallbackAdapter) {
      try {
        const ort = await import("./ort/ort.webgpu.min.mjs");
        const loaded = await load(ort, "speech", { threads, providers: [GPU, "wasm"] });
        await warmUp(loaded); // some drivers fail only here
        return loaded;
      } catch (error) {
        console.info("no WebGPU:", error.message);
      }
    }
    return load(await import("./ort/ort.wasm.min.mjs"), "speech", { threads });
  })();
}

/** Some noise through all of it: the browser compiles what has run for a while. */
async function warmUp({ info, network }) {
  const settings = { rate: 8000, outputRate: 48000, channels: 1, cutoff: LIVE_CUTOFF_HZ, gain: 1 };
  await new EnhanceStream(info, network, settings).push([whiteNoise(0, 0, 0, 8000)]);
}

function peaks(channels) {
  const samples = channels[0], step = Math.max(1, Math.ceil(samples.length / LONGEST_PEAKS));
  return Array.from({ length: Math.ceil(samples.length / step) }, (_, n) =>
    samples.subarray(n * step, (n + 1) * step).reduce((most, x) => Math.max(most, Math.abs(x)), 0));
}

async function stream(file, options) {
  const { info, network } = await model();
  const made = plan(info, file, options);
  const { rate, channels } = file;
  const settings = { rate, outputRate: made.outputRate, channels: channels.length, cutoff: made.cutoff, gain: made.gain, strength: options.strength };
  return { made, running: new EnhanceStream(info, network, settings) };
}

/** All of `channels` through a stream, a second at a time. */
async function through(running, channels, rate, progress = () => {}) {
  const pieces = [];
  for (let at = 0; at < channels[0].length; at += rate) {
    pieces.push(await running.push(channels.map((samples) => samples.subarray(at, at + rate))));
    progress(Math.min(1, at / channels[0].length));
  }
  pieces.push(await running.flush());
  return channels.map((_, c) => {
    const out = new Float32Array(pieces.reduce((sum, piece) => sum + piece[c].length, 0));
    let at = 0;
    for (const piece of pieces) {
      out.set(piece[c], at);
      at += piece[c].length;
    }
    return out;
  });
}

/** What is not extended is only resampled: the browser does that when it plays it. */
const asItIs = ({ rate, channels }, made) => ({ rate, channels, cutoff: null, warning: made.warning });

const handlers = {
  async models() {
    const loaded = await model();
    warmUp(loaded);
    return [{ ...loaded.info, has_fidelity: false }];
  },

  async open({ file, rate, own, channels }) {
    const { info } = await model();
    const found = analyse(channels, rate);
    files.set(file, { rate, channels, ...found });
    const { cutoff, warning, outputRate } = plan(info, files.get(file));
    return { rate: own, channels: channels.length, duration: channels[0].length / rate, cutoff, warning, output_rate: outputRate, peaks: peaks(channels) };
  },

  close({ file }) { files.delete(file); },

  async section({ file, start, duration, enhanced, options }) {
    const { rate, channels } = files.get(file);
    const cut = (from, to) => channels.map((samples) => samples.slice(Math.round(from * rate), Math.round(to * rate)));
    if (!enhanced) return { rate, channels: cut(start, start + duration) };
    const { made, running } = await stream(files.get(file), options);
    if (!made.extended) return asItIs({ rate, channels: cut(start, start + duration) }, made);
    const lead = Math.min(LEAD_S, start);
    const out = await through(running, cut(start - lead, start + duration), rate);
    const skip = Math.round(lead * rate) * made.outputRate / rate;
    return { rate: made.outputRate, channels: out.map((samples) => samples.slice(skip)), cutoff: made.cutoff, warning: made.warning };
  },

  async enhance({ file, options }, progress) {
    const { made, running } = await stream(files.get(file), options);
    if (!made.extended) return asItIs(files.get(file), made);
    const { rate, channels } = files.get(file);
    return { rate: made.outputRate, channels: await through(running, channels, rate, progress) };
  },

  async live({ options, port }) {
    const { info, network } = await model();
    const running = new EnhanceStream(info, network, {
      rate: 48000, outputRate: 48000, channels: 1, strength: options.strength,
      cutoff: options.cutoff ?? LIVE_CUTOFF_HZ, gain: info.level_rms / 10 ** (SPEECH_DBFS / 20),
    });
    let held = [], count = 0, last = Promise.resolve();
    port.onmessage = ({ data }) => {
      held.push(data);
      count += data.length;
      if (count < LIVE_BLOCK) return;
      const block = new Float32Array(count);
      let at = 0;
      for (const piece of held) {
        block.set(piece, at);
        at += piece.length;
      }
      held = [];
      count = 0;
      // Above the cutoff the microphone may have sound of its own; it is replaced, as in a file.
      last = last.then(() => running.push([block])).then(([out]) => port.postMessage(out));
    };
    living = port;
    return { latency: (running.latency + LIVE_BLOCK) / 48000, held: LIVE_HELD };
  },

  quiet() {
    living?.close();
    living = null;
  },
};

self.onmessage = async ({ data: { id, type, ...values } }) => {
  const progress = (part) => self.postMessage({ id, progress: part });
  try {
    self.postMessage({ id, result: await handlers[type](values, progress) });
  } catch (error) {
    self.postMessage({ id, error: error.message });
  }
};
