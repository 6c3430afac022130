// The page that `overtone enhance --html` writes: two recordings inside it, seen and heard.

import { Player } from "./player.js";
import { draw, peakOf } from "./view.js";

const $ = (id) => document.getElementById(id);
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

function hear(name) {
  player.hear(name);
  document.querySelector(`input[name=heard][value=${name}]`).checked = true;
}

const toggle = () => player.playing ? player.pause() : player.play();

function follow() {
  $("playhead").style.transform = `translateX(${player.position / player.duration * $("before").clientWidth}px)`;
  $("play").textContent = player.playing ? "Pause" : "Play";
  requestAnimationFrame(follow);
}

$("play").onclick = toggle;
for (const radio of document.querySelectorAll("input[name=heard]")) radio.onchange = () => hear(radio.value);
for (const id of ["before", "after"]) $(id).onclick = ({ offsetX }) => player.seek(offsetX / $(id).clientWidth * player.duration);
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || (event.key === " " && event.target.closest?.("button"))) return;
  const does = { " ": toggle, a: () => hear("before"), b: () => hear("after"), s: () => hear(player.heard === "after" ? "before" : "after") }[event.key.toLowerCase()];
  if (!does) return;
  event.preventDefault();
  does();
});
new ResizeObserver(paint).observe($("views"));
follow();
document.body.dataset.ready = 1;
