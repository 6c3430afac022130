// The network, by onnxruntime-web; loaded once.

/** What the page of overtone knows of a model, and how to run it: {info, network}. */
export async function load(ort, name, { threads = 1, providers = ["wasm"] } = {}) {
  const folder = new URL("models/", self.location.href);
  const info = await (await fetch(new URL(`${name}.json`, folder))).json();
  ort.env.wasm.numThreads = threads;
  ort.env.wasm.wasmPaths = new URL("ort/", self.location.href).href;
  const graph = new Uint8Array(await (await fetch(new URL(`${name}.onnx`, folder))).arrayBuffer());
  const session = await ort.InferenceSession.create(graph, { executionProviders: providers });
  return { info, network: new Network(ort, session, info) };
}

class Network {
  constructor(ort, session, info) {
    Object.assign(this, { ort, session, info });
  }

  /** Its memory before the first frame: inputs that come out again as new_... */
  initial(channels) {
    const { context } = this.info.states;
    const shape = [channels, ...context];
    return { context: new this.ort.Tensor("float32", new Float32Array(shape.reduce((a, b) => a * b)), shape) };
  }

  async run(power, channels, frames, cutoff, state) {
    const { Tensor } = this.ort;
    const { gains, ...rest } = await this.session.run({
      power: new Tensor("float32", power, [channels, frames, this.info.visible_bins]),
      cutoff_hz: new Tensor("float32", new Float32Array(channels).fill(cutoff), [channels]),
      ...state,
    });
    const news = Object.fromEntries(Object.entries(rest).map(([name, value]) => [name.replace("new_", ""), value]));
    return { gains: gains.data, state: news };
  }
}
