// Records the microphone as it is, without a codec.

export class Recorder {
  #stream = null;
  #context = null;
  #blocks = [];

  get running() { return this.#stream !== null; }

  async start() {
    const plain = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };
    const stream = await navigator.mediaDevices.getUserMedia({ audio: plain });
    this.#context = new AudioContext();
    await this.#context.audioWorklet.addModule("worklet.js");
    const node = new AudioWorkletNode(this.#context, "tap", { numberOfOutputs: 0 });
    this.#blocks = [];
    node.port.onmessage = ({ data }) => this.#blocks.push(data);
    this.#context.createMediaStreamSource(stream).connect(node);
    this.#stream = stream;
  }

  /** Ends it and returns a WAV file, a Blob. */
  async stop() {
    for (const track of this.#stream.getTracks()) track.stop();
    this.#stream = null;
    const rate = this.#context.sampleRate;
    await this.#context.close();
    const samples = new Float32Array(this.#blocks.reduce((sum, block) => sum + block.length, 0));
    let at = 0;
    for (const block of this.#blocks) {
      samples.set(block, at);
      at += block.length;
    }
    return wav([samples], rate);
  }
}

/** Channels of samples as a WAV file of `bits` 16, 24 or 32 (floats). */
export function wav(channels, rate, bits = 24) {
  const count = channels[0].length, bytes = bits / 8, align = channels.length * bytes;
  const data = count * align;
  const view = new DataView(new ArrayBuffer(44 + data));
  const text = (at, letters) => [...letters].forEach((letter, n) => view.setUint8(at + n, letter.charCodeAt(0)));
  text(0, "RIFF");
  view.setUint32(4, 36 + data, true);
  text(8, "WAVEfmt ");
  view.setUint32(16, 16, true);
  view.setUint16(20, bits === 32 ? 3 : 1, true);
  view.setUint16(22, channels.length, true);
  view.setUint32(24, rate, true);
  view.setUint32(28, rate * align, true);
  view.setUint16(32, align, true);
  view.setUint16(34, bits, true);
  text(36, "data");
  view.setUint32(40, data, true);
  const steps = 2 ** (bits - 1);
  let at = 44;
  for (let n = 0; n < count; n++) {
    for (const samples of channels) {
      if (bits === 32) {
        view.setFloat32(at, samples[n], true);
      } else {
        const value = Math.max(-steps, Math.min(steps - 1, Math.round(samples[n] * steps)));
        view.setUint8(at, value & 255);
        view.setUint8(at + 1, (value >> 8) & 255);
        if (bits === 24) view.setUint8(at + 2, (value >> 16) & 255);
      }
      at += bytes;
    }
  }
  return new Blob([view.buffer], { type: "audio/wav" });
}
