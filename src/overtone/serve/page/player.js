// Plays two signals as one: both run all the time, and switching only turns their volume.

const FADE_S = 0.01;

const rms = ({ channels }) =>
  Math.sqrt(channels.reduce((sum, samples) => sum + samples.reduce((s, x) => s + x * x, 0), 0)
    / Math.max(1, channels.reduce((sum, samples) => sum + samples.length, 0)));

export class Player {
  heard = "after";
  #context = null;
  #signals = null;
  #sources = [];
  #gains = {};
  #levels = {};
  #begun = 0; // on the context's clock, when the position was 0
  #paused = 0;

  /** `before` and `after`: {rate, channels}. They are played equally loud, the louder one turned down. */
  load(signals) {
    const playing = this.playing;
    this.pause();
    this.#signals = signals;
    const [a, b] = [rms(signals.before), rms(signals.after)];
    this.#levels = { before: a > b && a > 0 ? b / a : 1, after: b > a && b > 0 ? a / b : 1 };
    this.#paused = Math.min(this.#paused, this.duration);
    if (playing) this.play();
  }

  get playing() { return this.#sources.length > 0; }
  get duration() { return this.#signals ? this.#signals.before.channels[0].length / this.#signals.before.rate : 0; }
  get levels() { return this.#levels; }

  get position() {
    if (!this.playing || !this.duration) return this.#paused;
    return Math.max(0, this.#context.currentTime - this.#begun) % this.duration;
  }

  play() {
    if (!this.#signals || this.playing) return;
    this.#context ??= new AudioContext();
    this.#context.resume();
    const start = this.#context.currentTime + 0.02;
    for (const [name, { rate, channels }] of Object.entries(this.#signals)) {
      const buffer = this.#context.createBuffer(channels.length, channels[0].length, rate);
      channels.forEach((samples, channel) => buffer.copyToChannel(samples, channel));
      const source = new AudioBufferSourceNode(this.#context, { buffer, loop: true, loopEnd: this.duration });
      this.#gains[name] = new GainNode(this.#context, { gain: name === this.heard ? this.#levels[name] : 0 });
      source.connect(this.#gains[name]).connect(this.#context.destination);
      source.start(start, this.#paused);
      this.#sources.push(source);
    }
    this.#begun = start - this.#paused;
  }

  pause() {
    this.#paused = this.position;
    for (const source of this.#sources) source.stop();
    this.#sources = [];
  }

  seek(position) {
    const playing = this.playing;
    this.pause();
    this.#paused = Math.min(Math.max(0, position), Math.max(0, this.duration - 0.01));
    if (playing) this.play();
  }

  hear(name) {
    this.heard = name;
    if (!this.playing) return;
    for (const [other, { gain }] of Object.entries(this.#gains)) {
      gain.setTargetAtTime(other === name ? this.#levels[other] : 0, this.#context.currentTime, FADE_S / 3);
    }
  }
}
