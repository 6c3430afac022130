// The page that `overtone enhance --html` writes: two recordings inside it, seen and heard.

import { Player } from "./player.js";
import { $, wire } from "./transport.js";
import { draw, peakOf } from "./view.js";

const data = JSON.parse($("data").textContent);
const player = new Player();

async function decoded(name) {
  const { sound, rate } = data[name];
  const bytes = Uint8Array.from(atob(sound), (letter) => letter.charCodeAt(0));
  const link = $(`save-${name}`);
  link.href = URL.createObjectURL(new Blob([bytes], { type: "audio/flac" }));
  link.download = `${data.name}.${name}.flac`;
  const buffer = await new OfflineAudioContext(1, 1, rate).decodeAudioData(bytes.buffer);
  return { rate, channels: Array.from({ length: buffer.numberOfChannels }, (_, c) => buffer.getChannelData(c)) };
}

const signals = Object.fromEntries(await Promise.all(["before", "after"].map(async (name) => [name, await decoded(name)])));
player.load(signals);

function paint() {
  const top = data.after.rate / 2;
  const peak = peakOf([...signals.before.channels, ...signals.after.channels]);
  const edges = data.cutoff ? [[0, player.duration, data.cutoff]] : [];
  for (const name of ["before", "after"]) draw($(name), signals[name], { top, peak, edges });
}

new ResizeObserver(paint).observe($("views"));
wire(player);
document.body.dataset.ready = 1;
