// The Fourier transform of real signals whose length is a power of two.

/** The periodic Hann window. */
export function hann(samples) {
  return Float64Array.from({ length: samples }, (_, n) => 0.5 - 0.5 * Math.cos(2 * Math.PI * n / samples));
}

/** By one complex transform of half the length (Press et al., "Numerical Recipes", 12.3). */
export class RealFft {
  constructor(size) {
    this.size = size;
    const half = this.half = size / 2;
    this.re = new Float64Array(half);
    this.im = new Float64Array(half);
    this.cos = Float64Array.from({ length: half }, (_, k) => Math.cos(2 * Math.PI * k / size));
    this.sin = Float64Array.from({ length: half }, (_, k) => Math.sin(2 * Math.PI * k / size));
    this.reversed = new Uint32Array(half);
    for (let n = 1, bits = Math.log2(half); n < half; n++) {
      this.reversed[n] = (this.reversed[n >> 1] >> 1) | ((n & 1) << (bits - 1));
    }
  }

  /** `samples [size]` to bins 0 to size / 2. */
  forward(samples, outRe, outIm) {
    const { half, re, im, cos, sin, reversed } = this;
    for (let n = 0; n < half; n++) {
      const to = reversed[n];
      re[to] = samples[2 * n];
      im[to] = samples[2 * n + 1];
    }
    this.#butterflies(-1);
    outRe[0] = re[0] + im[0];
    outRe[half] = re[0] - im[0];
    outIm[0] = outIm[half] = 0;
    for (let k = 1; k < half; k++) {
      const j = half - k;
      const evenRe = 0.5 * (re[k] + re[j]), evenIm = 0.5 * (im[k] - im[j]);
      const oddRe = 0.5 * (im[k] + im[j]), oddIm = 0.5 * (re[j] - re[k]);
      outRe[k] = evenRe + cos[k] * oddRe + sin[k] * oddIm;
      outIm[k] = evenIm + cos[k] * oddIm - sin[k] * oddRe;
    }
  }

  /** Bins to samples; divides by the size, as numpy's irfft. */
  inverse(inRe, inIm, samples) {
    const { half, re, im, cos, sin, reversed } = this;
    for (let k = 0; k < half; k++) {
      const j = half - k;
      const firstIm = k === 0 ? 0 : inIm[k], lastIm = k === 0 ? 0 : inIm[j];
      const evenRe = 0.5 * (inRe[k] + inRe[j]), evenIm = 0.5 * (firstIm - lastIm);
      const diffRe = 0.5 * (inRe[k] - inRe[j]), diffIm = 0.5 * (firstIm + lastIm);
      const oddRe = cos[k] * diffRe - sin[k] * diffIm, oddIm = cos[k] * diffIm + sin[k] * diffRe;
      re[reversed[k]] = evenRe - oddIm;
      im[reversed[k]] = evenIm + oddRe;
    }
    this.#butterflies(1);
    for (let n = 0; n < half; n++) {
      samples[2 * n] = re[n] / half;
      samples[2 * n + 1] = im[n] / half;
    }
  }

  #butterflies(sign) {
    const { half, re, im, cos, sin } = this;
    for (let span = 1; span < half; span *= 2) {
      const step = half / span; // of the table, whose circle has 2 half entries
      for (let first = 0; first < half; first += 2 * span) {
        for (let n = 0; n < span; n++) {
          const c = cos[n * step], s = sign * sin[n * step];
          const a = first + n, b = a + span;
          const x = c * re[b] - s * im[b], y = c * im[b] + s * re[b];
          re[b] = re[a] - x;
          im[b] = im[a] - y;
          re[a] += x;
          im[a] += y;
        }
      }
    }
  }
}
