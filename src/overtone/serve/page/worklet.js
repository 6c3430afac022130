// In the audio thread: hand over what the microphone gives, and play what comes back.

class Tap extends AudioWorkletProcessor {
  process([input]) {
    if (input.length) this.port.postMessage(input[0].slice());
    return true;
  }
}

registerProcessor("tap", Tap);

class Through extends AudioWorkletProcessor {
  constructor({ processorOptions: { held } }) {
    super();
    this.held = held; // samples to have before the first is played
    this.ring = new Float32Array(48000);
    this.written = this.read = 0;
    this.port.onmessage = ({ data: { port } }) => { this.#listen(port); };
  }

  #listen(port) {
    this.worker = port;
    port.onmessage = ({ data }) => {
      for (const sample of data) this.ring[this.written++ % this.ring.length] = sample;
    };
  }

  process([input], [output]) {
    if (input.length) this.worker?.postMessage(input[0].slice());
    const waiting = this.written - this.read;
    if (this.playing ||= waiting >= this.held) {
      for (let n = 0; n < output[0].length && this.read < this.written; n++) {
        output[0][n] = this.ring[this.read++ % this.ring.length];
      }
    }
    return true;
  }
}

registerProcessor("through", Through);
