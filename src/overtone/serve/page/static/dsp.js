// The signal processing around the network, as in overtone/inference and overtone/dsp, where it is
// explained. A test holds it to them. Signals are arrays of channels, Float32Arrays at full scale 1.

import { RealFft, hann } from "./fft.js";

const CROSSOVER_START = 0.97;
const SILENCE_POWER = 1e-12, LEVEL_FLOOR = 1e-9;
const IMAGE_BAND = [0.5, 0.95], IMAGE_MEMORY_S = 0.3;
const WIDTH_BAND = [0.8, 0.95], WIDTH_MEMORY_S = 0.3, CHANCE = 0.3;
const ROLLED_OFF = 0.954, ROLL_OFF_WIDTH = 0.0105;
const MAX_FRAMES = 256;
const WAVES = ["pulses", "modulated_noise", "noise"];

/** Frames of spectra: bin k of frame f of channel c is at (c * count + f) * bins + k. */
export class Spectra {
  constructor(channels, count, bins) {
    Object.assign(this, { channels, count, bins });
    this.re = new Float32Array(channels * count * bins);
    this.im = new Float32Array(channels * count * bins);
  }

  at(channel, frame) { return (channel * this.count + frame) * this.bins; }
}

const empty = (channels, length = 0) => Array.from({ length: channels }, () => new Float32Array(length));

function joined(first, second) {
  const both = new Float32Array(first.length + second.length);
  both.set(first);
  both.set(second, first.length);
  return both;
}

const square = (x) => x * x;
const norm = (window) => Math.sqrt(window.reduce((sum, w) => sum + w * w, 0));

export class StreamStft {
  constructor(channels, window, hop) {
    Object.assign(this, { window, hop, fft: new RealFft(window.length) });
    this.held = empty(channels, window.length - hop);
  }

  push(block) {
    const size = this.window.length, { hop, window, fft } = this;
    const held = this.held.map((past, channel) => joined(past, block[channel]));
    const count = Math.max(0, Math.floor(held[0].length / hop) - size / hop + 1);
    const out = new Spectra(held.length, count, size / 2 + 1);
    const frame = new Float64Array(size);
    held.forEach((samples, channel) => {
      for (let f = 0; f < count; f++) {
        for (let n = 0; n < size; n++) frame[n] = samples[f * hop + n] * window[n];
        const at = out.at(channel, f);
        fft.forward(frame, out.re.subarray(at, at + out.bins), out.im.subarray(at, at + out.bins));
      }
    });
    this.held = held.map((samples) => samples.slice(count * hop));
    return out;
  }
}

export class StreamOverlapAdd {
  constructor(channels, window, hop) {
    Object.assign(this, { window, hop, fft: new RealFft(window.length) });
    this.tail = empty(channels, window.length - hop);
  }

  push(spectra) {
    const size = this.window.length, { hop, window, fft } = this, { count, bins } = spectra;
    const frame = new Float64Array(size);
    return this.tail.map((tail, channel) => {
      const out = new Float32Array(count * hop + size - hop);
      out.set(tail);
      for (let f = 0; f < count; f++) {
        const at = spectra.at(channel, f);
        fft.inverse(spectra.re.subarray(at, at + bins), spectra.im.subarray(at, at + bins), frame);
        for (let n = 0; n < size; n++) out[f * hop + n] += frame[n] * window[n];
      }
      this.tail[channel] = out.slice(count * hop);
      return out.slice(0, count * hop);
    });
  }
}

/** Holds frames back by `late` frames, zeros at first. */
class FrameDelay {
  constructor(late, channels, bins) {
    this.held = new Spectra(channels, late, bins);
  }

  push(spectra) {
    const { held } = this, late = held.count, { channels, count, bins } = spectra;
    if (!late) return spectra;
    const out = new Spectra(channels, count, bins), kept = new Spectra(channels, late, bins);
    for (const part of ["re", "im"]) {
      for (let c = 0; c < channels; c++) {
        const both = joined(
          held[part].subarray(held.at(c, 0), held.at(c + 1, 0)),
          spectra[part].subarray(spectra.at(c, 0), spectra.at(c + 1, 0)));
        out[part].set(both.subarray(0, count * bins), out.at(c, 0));
        kept[part].set(both.subarray(count * bins), kept.at(c, 0));
      }
    }
    this.held = kept;
    return out;
  }
}

// Excitations -------------------------------------------------------------------------------------

function hash(x) {
  x = Math.imul(x ^ (x >>> 16), 0x7FEB352D);
  x = Math.imul(x ^ (x >>> 15), 0x846CA68B);
  return (x ^ (x >>> 16)) >>> 0;
}

/** Samples `start` to `start + count` of endless white noise, the same as in Python to the bit. */
export function whiteNoise(seed, channel, start, count) {
  const key = hash((Math.imul(seed, 0x9E3779B9) + Math.imul(channel, 0x85EBCA6B)) >>> 0);
  const noise = new Float32Array(count), width = Math.sqrt(12);
  for (let n = 0; n < count; n++) {
    const index = start + n;
    const high = hash((Math.floor(index / 2 ** 32) ^ key) >>> 0);
    noise[n] = (hash((index ^ high) >>> 0) / 2 ** 32 - 0.5) * width;
  }
  return noise;
}

/** Mean of `power` over the `bins` around each entry, fewer at either end. */
function localMean(power, bins, out) {
  const half = bins >> 1, n = power.length;
  let sum = 0;
  for (let k = 0; k < Math.min(half, n); k++) sum += power[k];
  for (let k = 0; k < n; k++) {
    if (k + half < n) sum += power[k + half];
    if (k - half > 0) sum -= power[k - half - 1];
    out[k] = Math.max(0, sum) / (Math.min(k + half + 1, n) - Math.max(k - half, 0));
  }
}

class TrailingMean {
  constructor(channels, count) {
    this.count = count;
    this.past = empty(channels, count);
  }

  push(block) {
    const { count } = this;
    return block.map((samples, channel) => {
      const held = joined(this.past[channel], samples);
      const out = new Float32Array(samples.length);
      let sum = 0;
      for (let n = 0; n < count; n++) sum += held[n];
      for (let n = 0; n < samples.length; n++) {
        sum += held[count + n] - held[n];
        out[n] = sum / count;
      }
      this.past[channel] = held.slice(samples.length);
      return out;
    });
  }
}

/** The gamma function from 1 on, by Stirling's series far enough out. */
function gamma(x) {
  if (x < 6) return gamma(x + 1) / x;
  return Math.sqrt(2 * Math.PI / x) * (x / Math.E) ** x * (1 + 1 / (12 * x) + 1 / (288 * x * x));
}

export class Excitations {
  constructor(constants, { rate, window: size, hop, channels, cutoff, firstBin, seed = 0 }) {
    Object.assign(this, { constants, channels, seed, sample: 0 });
    const edge = constants.crossover_start * cutoff;
    const upTo = (hz) => Math.min(size / 2 + 1, Math.floor(hz * size / rate) + 1); // bins at or below
    this.first = upTo(constants.lowest_hz);
    this.last = Math.max(this.first, upTo(Math.min(edge, constants.highest_hz)));
    const window = hann(size), length = norm(window), overlap = 3 / 8 * size / hop;
    this.synthesis = new StreamOverlapAdd(channels, window.map((w) => w * length / overlap), hop);
    this.analysis = new StreamStft(WAVES.length * channels, window.map((w) => w / length), hop);
    this.fast = new TrailingMean(channels, constants.fast_samples);
    this.slow = new TrailingMean(channels, constants.slow_samples);
    this.from = Math.max(0, firstBin - (constants.whitening_bins >> 1));
    this.cut = firstBin - this.from;
    this.partial = size / hop - 1;
    this.before = empty(2 * channels, size / 2 + 1 - this.from);
    const { dispersion_ms: delay = 0, dispersion_end_hz: end = 1 } = constants;
    const phases = Float64Array.from({ length: size / 2 + 1 - firstBin }, (_, k) => {
      const hz = Math.min((firstBin + k) * rate / size, end);
      return -2 * Math.PI * delay / 1000 * (hz - hz * hz / (2 * end));
    });
    this.cosines = phases.map(Math.cos);
    this.sines = phases.map(Math.sin);
  }

  /** Spectra whose channels are the pulses of all channels, then their noises; from `firstBin` on. */
  push(spectra) {
    const { constants, channels } = this;
    const { pulse_power: pulsePower = 2, noise_power: noisePower = 2 } = constants;
    const waves = this.synthesis.push(this.#white(spectra)).map((wave) => wave.map(Math.abs));
    const fast = this.fast.push(waves), slow = this.slow.push(waves);
    const signals = empty(3 * channels, waves[0].length);
    waves.forEach((wave, c) => {
      const noise = whiteNoise(this.seed, c, this.sample, wave.length);
      for (let n = 0; n < wave.length; n++) {
        const swell = fast[c][n] / (slow[c][n] + constants.swell_floor);
        signals[c][n] = wave[n] * swell ** pulsePower;
        signals[channels + c][n] = noise[n] * swell ** noisePower;
        signals[2 * channels + c][n] = noise[n];
      }
    });
    this.sample += waves[0].length;
    const analysed = this.analysis.push(signals);
    this.#raise(analysed, analysed.at(2 * channels, 0));
    return this.#flattened(analysed);
  }

  #white(spectra) {
    const { constants, first, last } = this, { channels, count, bins } = spectra;
    const out = new Spectra(channels, count, bins);
    const power = new Float64Array(bins), mean = new Float64Array(bins);
    for (let at = 0; at < spectra.re.length; at += bins) {
      for (let k = first; k < last; k++) power[k] = square(spectra.re[at + k]) + square(spectra.im[at + k]);
      localMean(power, constants.whitening_bins, mean);
      for (let k = first; k < last; k++) {
        const factor = 1 / Math.sqrt(mean[k] + constants.whitening_floor);
        out.re[at + k] = spectra.re[at + k] * factor;
        out.im[at + k] = spectra.im[at + k] * factor;
      }
    }
    return out;
  }

  /** Raise magnitudes, so that plain noise still has unit power. */
  #raise({ re, im }, noise) {
    const { wave_power: to = 1 } = this.constants;
    if (to === 1) return;
    const unit = 1 / Math.sqrt(gamma(1 + to));
    for (let k = 0; k < re.length; k++) {
      const factor = (square(re[k]) + square(im[k])) ** ((to - 1) / 2) * (k < noise ? 1 : unit);
      re[k] *= factor;
      im[k] *= factor;
    }
  }

  /** Flat spectra of all but the plain noise, over bins and over this frame and the last. */
  #flattened(spectra) {
    const { constants, from, cut, channels, before, cosines, sines } = this;
    const { count, bins } = spectra, kept = bins - from - cut;
    const out = new Spectra(spectra.channels, count, kept);
    const power = new Float64Array(bins - from);
    const partial = Math.min(this.partial, count);
    for (let c = 0; c < spectra.channels; c++) {
      for (let f = 0; f < count; f++) {
        const at = spectra.at(c, f) + from, to = out.at(c, f);
        const flat = c < 2 * channels;
        let factors = null;
        if (flat) {
          for (let k = 0; k < power.length; k++) power[k] = square(spectra.re[at + k]) + square(spectra.im[at + k]);
          const mean = new Float32Array(power.length);
          localMean(power, constants.whitening_bins, mean);
          factors = mean.map((m, k) => 1 / Math.sqrt(0.5 * (m + before[c][k]) + constants.flattening_floor));
          before[c] = mean;
        }
        if (f < partial) continue; // partly made of nothing
        for (let k = 0; k < kept; k++) {
          const factor = flat ? factors[cut + k] : 1;
          const re = spectra.re[at + cut + k] * factor, im = spectra.im[at + cut + k] * factor;
          const cosine = c < channels ? cosines[k] : 1, sine = c < channels ? sines[k] : 0; // pulses
          out.re[to + k] = re * cosine - im * sine;
          out.im[to + k] = re * sine + im * cosine;
        }
      }
    }
    this.partial -= partial;
    return out;
  }
}

// Stereo ------------------------------------------------------------------------------------------

const firstAtLeast = (hz, rate, size) => Math.min(size / 2 + 1, Math.ceil(hz * size / rate));

class StereoImage {
  constructor({ sample_rate: rate, window_samples: size, hop_samples: hop }, cutoff) {
    [this.low, this.high] = IMAGE_BAND.map((part) => firstAtLeast(part * cutoff, rate, size));
    this.kept = Math.exp(-hop / rate / IMAGE_MEMORY_S);
    this.moments = [0, 0, 0];
  }

  /** How alike left and right are in each frame of `observed`. */
  push(observed) {
    return Array.from({ length: observed.count }, (_, f) => {
      const left = observed.at(0, f), right = observed.at(1, f), { re, im } = observed;
      let cross = 0, a = 0, b = 0;
      for (let k = this.low; k < this.high; k++) {
        cross += re[left + k] * re[right + k] + im[left + k] * im[right + k];
        a += square(re[left + k]) + square(im[left + k]);
        b += square(re[right + k]) + square(im[right + k]);
      }
      this.moments = [cross, a, b].map((now, n) => this.kept * this.moments[n] + (1 - this.kept) * now);
      [cross, a, b] = this.moments;
      return a > 0 && b > 0 ? Math.min(1, Math.max(-1, cross / Math.sqrt(a * b))) : 0;
    });
  }
}

class StereoWidth {
  constructor({ sample_rate: rate, window_samples: size, hop_samples: hop }, cutoff) {
    [this.low, this.high] = WIDTH_BAND.map((part) => firstAtLeast(part * cutoff, rate, size));
    this.above = firstAtLeast(cutoff, rate, size);
    this.kept = Math.exp(-hop / rate / WIDTH_MEMORY_S);
    this.energies = [0, 0, 0, 0];
  }

  fit(observed, residual) {
    const { re, im } = observed, { bins, count } = observed;
    for (let f = 0; f < count; f++) {
      const l = observed.at(0, f), r = observed.at(1, f), now = [0, 0, 0, 0];
      let left = 0, right = 0;
      for (let k = this.low; k < this.high; k++) {
        now[0] += square(re[l + k] + re[r + k]) + square(im[l + k] + im[r + k]);
        now[1] += square(re[l + k] - re[r + k]) + square(im[l + k] - im[r + k]);
      }
      for (let k = this.above; k < bins; k++) {
        const a = re[l + k] + residual.re[l + k], b = im[l + k] + residual.im[l + k];
        const c = re[r + k] + residual.re[r + k], d = im[r + k] + residual.im[r + k];
        now[2] += square(a + c) + square(b + d);
        now[3] += square(a - c) + square(b - d);
        left += a * a + b * b;
        right += c * c + d * d;
      }
      const gains = this.#gains(now);
      if (left === 0 || right === 0) continue;
      const [mid, side] = gains.map((gain) => 0.5 * (gain - 1));
      for (const part of ["re", "im"]) {
        for (let k = this.above; k < bins; k++) {
          const a = observed[part][l + k] + residual[part][l + k], c = observed[part][r + k] + residual[part][r + k];
          residual[part][l + k] += mid * (a + c) + side * (a - c);
          residual[part][r + k] += mid * (a + c) - side * (a - c);
        }
      }
    }
  }

  #gains(now) {
    this.energies = now.map((energy, n) => this.kept * this.energies[n] + (1 - this.kept) * energy);
    const [midBelow, sideBelow, midAbove, sideAbove] = this.energies;
    if (!(midBelow || sideBelow) || !midAbove || !sideAbove) return [1, 1];
    const shown = sideBelow / (midBelow + sideBelow), found = sideAbove / (midAbove + sideAbove);
    const chance = CHANCE * shown * (1 - shown);
    const side = Math.min(Math.max(found, shown - chance), shown + chance);
    const both = midAbove + sideAbove;
    return [Math.sqrt((1 - side) * both / midAbove), Math.sqrt(side * both / sideAbove)];
  }
}

// The predictor, and the residual -----------------------------------------------------------------

/** Weight of the prediction: 0 below, 1 from the cutoff upward. */
function crossover(hz, cutoff) {
  const ramp = (hz / cutoff - CROSSOVER_START) / (1 - CROSSOVER_START);
  return 0.5 - 0.5 * Math.cos(Math.PI * Math.min(1, Math.max(0, ramp)));
}

/** The amplitude of all excitations together, a logarithm by band, and what share of the power is each one's. */
function parted(gains, bands) {
  const envelope = new Float32Array(bands), shares = new Float32Array(gains.length);
  for (let band = 0; band < bands; band++) {
    let power = 0;
    for (let at = band; at < gains.length; at += bands) power += shares[at] = Math.exp(2 * gains[at]);
    for (let at = band; at < gains.length; at += bands) shares[at] /= power;
    envelope[band] = 0.5 * Math.log(power);
  }
  return [envelope, shares];
}

class Predictor {
  constructor(info, network, channels, cutoff) {
    Object.assign(this, { info, network, channels, cutoff, state: network.initial(channels) });
    const { sample_rate: rate, window_samples: size, hop_samples: hop } = info;
    const bins = size / 2 + 1, hz = (k) => k * rate / size;
    const weight = Float32Array.from({ length: bins }, (_, k) => crossover(hz(k), cutoff));
    const above = weight.findIndex((w) => w > 0);
    this.first = above < 0 ? bins : above;
    this.weight = weight.slice(this.first);
    const centres = info.band_centres_hz, last = centres.length - 1;
    // What each bin gets is interpolated between two bands.
    this.bands = Array.from(this.weight, (_, n) => {
      const here = hz(this.first + n);
      const band = Math.min(last - 1, Math.max(0, centres.findLastIndex((centre) => centre <= here)));
      const part = (here - centres[band]) / (centres[band + 1] - centres[band]);
      return [band, Math.min(1, Math.max(0, part))];
    });
    this.visible = Array.from({ length: info.visible_bins }, (_, k) => hz(k) <= info.visible_end * cutoff);
    this.energies = Array.from({ length: channels }, () => new Float64Array(info.level_frames));
    this.excitations = new Excitations(info.excitation, { rate, window: size, hop, channels, cutoff, firstBin: this.first });
    const late = info.lookahead_frames;
    this.lateSpectrum = new FrameDelay(late, channels, bins);
    this.lateExcitation = new FrameDelay(late - (size / hop - 1), 3 * channels, bins - this.first);
    this.lateAmplitude = empty(channels, late);
    if (channels === 2) {
      this.image = new StereoImage(info, cutoff);
      this.width = new StereoWidth(info, cutoff);
    }
  }

  /** What was observed some frames ago, and the residual to add to it. */
  async push(spectra) {
    const { info, channels } = this, { count, bins } = spectra, seen = info.visible_bins;
    const power = new Float32Array(channels * count * seen);
    const amplitudes = empty(channels, count);
    for (let c = 0; c < channels; c++) {
      for (let f = 0; f < count; f++) {
        const at = spectra.at(c, f), to = (c * count + f) * seen;
        let energy = 0;
        for (let k = 0; k < seen; k++) {
          if (this.visible[k]) energy += power[to + k] = square(spectra.re[at + k]) + square(spectra.im[at + k]);
        }
        const active = energy > SILENCE_POWER * seen;
        const level = this.#level(c, active ? energy : 0);
        amplitudes[c][f] = active ? Math.sqrt(level) : 0;
        for (let k = 0; k < seen; k++) power[to + k] /= level + LEVEL_FLOOR;
      }
    }
    const { gains, state } = await this.network.run(power, channels, count, this.cutoff, this.state);
    this.state = state;
    const observed = this.lateSpectrum.push(spectra);
    const excitation = this.lateExcitation.push(this.excitations.push(spectra));
    const amplitude = amplitudes.map((now, c) => {
      const both = joined(this.lateAmplitude[c], now);
      this.lateAmplitude[c] = both.slice(count);
      return both;
    });
    if (this.image) this.#share(this.image.push(observed), excitation);
    const residual = new Spectra(channels, count, bins);
    const bands = info.band_centres_hz.length, sources = WAVES.length;
    for (let c = 0; c < channels; c++) {
      for (let f = 0; f < count; f++) {
        const to = residual.at(c, f) + this.first, from = (c * count + f) * sources * bands;
        const [envelope, shares] = parted(gains.subarray(from, from + sources * bands), bands);
        for (let n = 0; n < this.weight.length; n++) {
          const [band, part] = this.bands[n];
          const between = (values, at) => (1 - part) * values[at + band] + part * values[at + band + 1];
          const level = Math.exp(between(envelope, 0)) * amplitude[c][f];
          let re = 0, im = 0;
          for (let s = 0; s < sources; s++) {
            const gain = level * Math.sqrt(between(shares, s * bands));
            const at = excitation.at(s * channels + c, f) + n;
            re += excitation.re[at] * gain;
            im += excitation.im[at] * gain;
          }
          residual.re[to + n] = this.weight[n] * (re - observed.re[to + n]);
          residual.im[to + n] = this.weight[n] * (im - observed.im[to + n]);
        }
      }
    }
    this.width?.fit(observed, residual);
    return { observed, residual };
  }

  #level(channel, energy) {
    const past = this.energies[channel];
    past.copyWithin(0, 1);
    past[past.length - 1] = energy;
    let sum = 0, number = 0;
    for (const one of past) {
      sum += one;
      number += one > 0;
    }
    return Math.fround(sum / Math.max(number, 1));
  }

  /** Noise of the right channel: as much of the left one's as they have in common. */
  #share(alike, excitation) {
    for (const source of [1, 2]) {
      alike.forEach((part, f) => {
        const l = excitation.at(2 * source, f), r = excitation.at(2 * source + 1, f), own = Math.sqrt(1 - part * part);
        for (const values of [excitation.re, excitation.im]) {
          for (let k = 0; k < excitation.bins; k++) values[r + k] = values[r + k] * own + values[l + k] * part;
        }
      });
    }
  }
}

/** Like numpy.interp with 0 to the right. */
function interpolated(x, points) {
  if (x <= points[0][0]) return points[0][1];
  const n = points.findIndex(([at]) => at >= x);
  if (n < 0) return 0;
  const [[x0, y0], [x1, y1]] = [points[n - 1], points[n]];
  return y0 + (y1 - y0) * (x - x0) / (x1 - x0);
}

/** Abramowitz & Stegun 7.1.26's successor in Press et al., "Numerical Recipes": to 1.2e-7. */
function erfc(x) {
  const z = Math.abs(x), t = 1 / (1 + z / 2);
  const c = [-1.26551223, 1.00002368, 0.37409196, 0.09678418, -0.18628806, 0.27886807, -1.13520398, 1.48851587, -0.82215223, 0.17087277];
  const answer = t * Math.exp(-z * z + c.reduceRight((sum, a) => a + t * sum, 0));
  return x >= 0 ? answer : 2 - answer;
}

/** What is to be added to a signal at the model's rate: aligned with it and as long. */
export class Residual {
  constructor(info, network, channels, gain, { cutoff, strength = 0, transition = [], limit = null }) {
    const { sample_rate: rate, window_samples: size, hop_samples: hop } = info;
    const bins = size / 2 + 1, hz = (k) => k * rate / size;
    const usable = transition.length ? transition.at(-1)[0] : cutoff;
    this.predictor = new Predictor(info, network, channels, usable);
    const points = [[CROSSOVER_START * cutoff, 0], ...transition];
    this.compensation = Float32Array.from({ length: bins }, (_, k) => Math.max(1, 10 ** (interpolated(hz(k), points) / 20)));
    this.weight = Float32Array.from({ length: bins }, (_, k) => crossover(hz(k), usable));
    this.more = 10 ** (strength / 20) - 1;
    this.lowered = Float32Array.from({ length: bins }, (_, k) => limit === null || hz(k) < usable
      ? 0 : 0.5 * erfc((hz(k) / limit - ROLLED_OFF) / (Math.SQRT2 * ROLL_OFF_WIDTH)) - 1);
    const window = hann(size), length = norm(window);
    let overlap = 0;
    for (let n = 0; n < size; n += hop) overlap += square(window[n]);
    this.analysis = new StreamStft(channels, Float32Array.from(window, (w) => w * gain / length), hop);
    this.synthesis = new StreamOverlapAdd(channels, Float32Array.from(window, (w) => w * length / (overlap * gain)), hop);
    this.latency = size + info.lookahead_frames * hop;
    Object.assign(this, { channels, hop, early: this.latency - hop, taken: 0, given: 0 });
  }

  async push(block) {
    this.taken += block[0].length;
    const out = await this.#advance(block);
    const early = Math.min(this.early, out[0].length);
    this.early -= early;
    this.given += out[0].length - early;
    return out.map((samples) => samples.subarray(early));
  }

  async flush() {
    const wanted = this.taken - this.given;
    const out = await this.#advance(empty(this.channels, this.latency + this.hop));
    return out.map((samples) => samples.subarray(this.early, this.early + wanted));
  }

  async #advance(block) {
    const step = MAX_FRAMES * this.hop;
    let out = empty(this.channels);
    for (let start = 0; start < block[0].length; start += step) {
      const piece = await this.#frames(block.map((samples) => samples.subarray(start, start + step)));
      out = out.map((samples, c) => joined(samples, piece[c]));
    }
    return out;
  }

  async #frames(block) {
    const given = this.analysis.push(block);
    if (!given.count) return empty(this.channels);
    const { bins } = given, { compensation, weight, more, lowered } = this;
    for (const values of [given.re, given.im]) {
      for (let at = 0; at < values.length; at += bins) {
        for (let k = 0; k < bins; k++) values[at + k] *= compensation[k];
      }
    }
    const { observed, residual } = await this.predictor.push(given);
    for (const part of ["re", "im"]) {
      const seen = observed[part], added = residual[part];
      for (let at = 0; at < added.length; at += bins) {
        for (let k = 0; k < bins; k++) {
          const here = seen[at + k];
          let sum = added[at + k];
          sum += more * (sum + weight[k] * here);
          sum += here * (1 - 1 / compensation[k]);
          added[at + k] = sum + (here + sum) * lowered[k];
        }
      }
    }
    return this.synthesis.push(residual);
  }
}

/** A recording with what lay above its cutoff filled in; rates that divide 48 or 44.1 kHz. */
export class EnhanceStream {
  constructor(info, network, { rate, outputRate, channels, cutoff, gain, strength = 0, transition = [] }) {
    if (outputRate % rate) throw new Error(`${rate} Hz does not divide ${outputRate} Hz`);
    this.zeros = outputRate / rate;
    // At another rate than the model's own, every frequency is so much higher to it.
    const higher = info.sample_rate / outputRate;
    this.residual = new Residual(info, network, channels, gain, {
      cutoff: higher * cutoff,
      strength,
      transition: transition.filter(([hz]) => hz < outputRate / 2).map(([hz, db]) => [higher * hz, db]),
      limit: outputRate === info.sample_rate ? null : info.sample_rate / 2,
    });
    this.waiting = empty(channels);
  }

  /** The delay of the output, in samples of it. */
  get latency() { return this.residual.latency; }

  async push(block) {
    const raised = block.map((samples) => {
      const out = new Float32Array(samples.length * this.zeros);
      for (let n = 0; n < samples.length; n++) out[n * this.zeros] = samples[n] * this.zeros;
      return out;
    });
    this.waiting = this.waiting.map((samples, c) => joined(samples, raised[c]));
    return this.#merged(await this.residual.push(raised));
  }

  async flush() { return this.#merged(await this.residual.flush()); }

  #merged(residual) {
    const count = residual[0].length;
    const out = residual.map((added, c) => added.map((value, n) => value + this.waiting[c][n]));
    this.waiting = this.waiting.map((samples) => samples.slice(count));
    return out;
  }
}
