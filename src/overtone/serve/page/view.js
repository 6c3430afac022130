// Draws a signal: its waveform above, its spectrogram below, and where the real band ends.

import { RealFft, hann } from "./fft.js";

const WINDOW = 1024;
const RANGE_DB = [-105, -15];
const WAVE_PART = 0.22;
// A few colours of "inferno" (Smith & van der Walt), dark to light.
const COLOURS = [[0, 0, 4], [40, 11, 84], [101, 21, 110], [159, 42, 99], [212, 72, 66], [245, 125, 21], [250, 193, 39], [252, 255, 164]];
const PALETTE = Array.from({ length: 256 }, (_, n) => {
  const at = n / 255 * (COLOURS.length - 1);
  const from = Math.min(Math.floor(at), COLOURS.length - 2);
  return COLOURS[from].map((c, i) => c + (at - from) * (COLOURS[from + 1][i] - c));
});

/** Draw {rate, channels} up to `top` Hz, the waveform as high as `peak`; `edges` are [[from s, to s, Hz]] of the cutoff. */
export function draw(canvas, { rate, channels }, { top, peak = 1, edges = [] }) {
  const scale = window.devicePixelRatio || 1;
  const width = canvas.width = Math.round(canvas.clientWidth * scale);
  const height = canvas.height = Math.round(canvas.clientHeight * scale);
  const context = canvas.getContext("2d");
  const mono = mix(channels);
  const waveHeight = Math.round(height * WAVE_PART);
  drawWave(context, mono, width, waveHeight, peak);
  const picture = spectrogram(mono, rate, width, height - waveHeight, top);
  context.putImageData(picture, 0, waveHeight);
  const duration = mono.length / rate;
  const y = (hz) => waveHeight + (height - waveHeight) * (1 - hz / top);
  context.font = `${12 * scale}px system-ui, sans-serif`;
  context.lineWidth = scale;
  context.setLineDash([6 * scale, 4 * scale]);
  context.strokeStyle = "#fff";
  for (const [from, to, hz] of edges) {
    if (hz >= top) continue;
    context.beginPath();
    context.moveTo(from / duration * width, y(hz));
    context.lineTo(to / duration * width, y(hz));
    context.stroke();
  }
  context.setLineDash([]);
  if (edges.length && edges[0][2] < top) {
    label(context, `cutoff ${(edges[0][2] / 1000).toFixed(1)} kHz`, width - 6 * scale, y(edges[0][2]) - 5 * scale, "right", scale);
  }
  for (let khz = 4; khz * 1000 < top; khz += 4) label(context, `${khz} kHz`, 4 * scale, y(khz * 1000) + 4 * scale, "left", scale);
  const step = [0.1, 0.2, 0.5, 1, 2, 5, 10].find((s) => duration / s < 12) ?? 20;
  for (let s = step; s < duration - step / 4; s += step) label(context, `${+s.toFixed(1)} s`, s / duration * width, height - 5 * scale, "center", scale);
}

export const peakOf = (channels) => channels.reduce((most, samples) => samples.reduce((m, x) => Math.max(m, Math.abs(x)), most), 1e-3);

function label(context, text, x, y, align, scale) {
  context.textAlign = align;
  context.lineWidth = 3 * scale;
  context.strokeStyle = "#000a";
  context.strokeText(text, x, y);
  context.fillStyle = "#fff";
  context.fillText(text, x, y);
  context.lineWidth = scale;
}

export function mix(channels) {
  if (channels.length === 1) return channels[0];
  return channels[0].map((_, n) => channels.reduce((sum, samples) => sum + samples[n], 0) / channels.length);
}

function drawWave(context, samples, width, height, peak) {
  context.fillStyle = "#10161a";
  context.fillRect(0, 0, width, height);
  context.fillStyle = "#7fd0c2";
  for (let x = 0; x < width; x++) {
    const from = Math.floor(x / width * samples.length);
    const to = Math.max(from + 1, Math.floor((x + 1) / width * samples.length));
    let low = 1, high = -1;
    for (let n = from; n < to; n++) {
      if (samples[n] < low) low = samples[n];
      if (samples[n] > high) high = samples[n];
    }
    const upper = height / 2 * (1 - Math.min(1, high / peak)), lower = height / 2 * (1 - Math.max(-1, low / peak));
    context.fillRect(x, upper, 1, Math.max(1, lower - upper));
  }
}

/** Powers in dB: an ImageData, a column for every pixel. */
function spectrogram(samples, rate, width, height, top) {
  const picture = new ImageData(width, height);
  const fft = new RealFft(WINDOW), window_ = hann(WINDOW);
  const frame = new Float64Array(WINDOW), bins = WINDOW / 2 + 1;
  const re = new Float64Array(bins), im = new Float64Array(bins), shade = new Uint8Array(bins);
  const reference = WINDOW / 4; // of a sine at full scale
  for (let x = 0; x < width; x++) {
    const first = Math.round((x + 0.5) / width * samples.length) - WINDOW / 2;
    for (let n = 0; n < WINDOW; n++) frame[n] = (samples[first + n] ?? 0) * window_[n];
    fft.forward(frame, re, im);
    for (let k = 0; k < bins; k++) {
      const db = 10 * Math.log10((re[k] ** 2 + im[k] ** 2) / reference ** 2 + 1e-20);
      shade[k] = 255 * Math.min(1, Math.max(0, (db - RANGE_DB[0]) / (RANGE_DB[1] - RANGE_DB[0])));
    }
    for (let y = 0; y < height; y++) {
      const k = Math.round((1 - (y + 0.5) / height) * top / rate * WINDOW);
      const [r, g, b] = PALETTE[k < bins ? shade[k] : 0];
      const at = 4 * (y * width + x);
      picture.data[at] = r;
      picture.data[at + 1] = g;
      picture.data[at + 2] = b;
      picture.data[at + 3] = 255;
    }
  }
  return picture;
}
