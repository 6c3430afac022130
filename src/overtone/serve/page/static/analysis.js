// What is to be done to a recording: its level, and where its band ends.

import { RealFft, hann } from "./fft.js";

const FULL_BAND = 18000, FRAME_S = 0.02, ANALYSED_S = 45;
const RANGE_DB = 75, OVER_FLOOR_DB = 12, LOUD_DB = 40;

/** RMS of the loud half of the 20 ms frames, as overtone.dsp.level has it. */
export function activeRms(channels, rate) {
  const frame = Math.max(1, Math.round(FRAME_S * rate));
  const powers = [];
  for (let at = 0; at + frame <= channels[0].length; at += frame) {
    let sum = 0;
    for (const samples of channels) for (let n = at; n < at + frame; n++) sum += samples[n] * samples[n];
    powers.push(sum / (frame * channels.length));
  }
  powers.sort((a, b) => a - b);
  const loud = powers.slice(powers.length >> 1);
  return loud.length ? Math.sqrt(loud.reduce((a, b) => a + b) / loud.length) : 0;
}

/**
 * Where the band of a recording ends, in Hz: the last frequency that stands out of the floor in the
 * long-term spectrum of what is loud. Simpler than the detector of the command line, which weighs
 * how likely every low-pass is; the page lets people correct it.
 */
export function findCutoff(channels, rate) {
  const size = 2048, hop = 1024, fft = new RealFft(size), window = hann(size);
  const frame = new Float64Array(size), bins = size / 2 + 1, re = new Float64Array(bins), im = new Float64Array(bins);
  const frames = [];
  for (let at = 0; at + size <= channels[0].length; at += hop) {
    let energy = 0;
    for (let n = 0; n < size; n++) {
      const mono = channels.reduce((sum, channel) => sum + channel[at + n], 0);
      energy += mono * mono;
      frame[n] = mono * window[n];
    }
    if (energy < 1e-8 * size) continue;
    fft.forward(frame, re, im);
    frames.push({ energy, power: Float32Array.from(re, (x, k) => x * x + im[k] * im[k]) });
  }
  const loudest = Math.max(0, ...frames.map(({ energy }) => energy));
  const loud = frames.filter(({ energy }) => energy > loudest * 10 ** (-LOUD_DB / 10));
  if (!loud.length) return null;
  // Means of dB, and of some neighbours, so that no click and no hum decides.
  const level = Array.from({ length: bins }, (_, k) =>
    10 * loud.reduce((sum, { power }) => sum + Math.log10(power[k] + 1e-14), 0) / loud.length);
  const smooth = level.map((_, k) => {
    const near = level.slice(Math.max(0, k - 3), k + 4);
    return near.reduce((a, b) => a + b) / near.length;
  });
  const floor = Math.min(...smooth.slice(bins >> 1)), top = Math.max(...smooth);
  const least = Math.max(top - RANGE_DB, floor + OVER_FLOOR_DB);
  let last = bins - 1;
  while (last > 0 && smooth[last] < least) last--;
  const cutoff = last * rate / size;
  // Resamplers and converters roll off before the end.
  return cutoff > 0.94 * rate / 2 ? (rate < 36000 ? 0.94 * rate / 2 : rate / 2) : cutoff;
}

export const outputRate = (rate) => (48000 % rate === 0 ? 48000 : 44100);

/** What a recording's start says of it: {level, found}, the cutoff in Hz. */
export function analyse(channels, rate) {
  const start = channels.map((samples) => samples.subarray(0, ANALYSED_S * rate));
  return { level: activeRms(start, rate), found: findCutoff(start, rate) };
}

/** Cutoff, gain and output rate; `extended` is false where there is nothing to add. */
export function plan(info, { rate, level, found }, options = {}) {
  const cutoff = options.cutoff ?? found;
  const out = outputRate(rate);
  let warning = "";
  if (level === 0) warning = "silent";
  else if (cutoff === null) warning = "unsure where the band ends";
  else if (cutoff >= Math.min(FULL_BAND, out / 2)) warning = "full band already";
  else if (cutoff < info.min_cutoff_hz / 2) warning = `ends at ${Math.round(cutoff)} Hz, too low for this model`;
  return { cutoff, outputRate: out, gain: level ? info.level_rms / level : 1, extended: !warning, warning };
}
