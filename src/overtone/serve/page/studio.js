// The page: files in, two spectrograms, switching between them by ear, files out.

import WaveSurfer from "./vendor/wavesurfer.esm.js";
import Regions from "./vendor/regions.esm.js";
import * as engine from "./engine.js";
import { Abx } from "./abx.js";
import { Player } from "./player.js";
import { Recorder } from "./recorder.js";
import { $, hear, wire } from "./transport.js";
import { draw, peakOf } from "./view.js";

const SHOWN_S = 10;
const files = new Map();
const player = new Player();
const abx = new Abx();
let current = null;
let signals = null;
let surfer = null;
let region = null;
let asking = null;
let restart = 0;

function say(text, bad = false) {
  $("status").textContent = text;
  $("status").classList.toggle("bad", bad);
}

const plain = (hz) => `${+(hz / 1000).toFixed(2)} kHz`;

// Files -------------------------------------------------------------------------------------------

async function add(list) {
  let first = null;
  for (const file of list) {
    try {
      first ??= listed(await engine.open(file));
    } catch (error) {
      say(`${file.name}: ${error.message}`, true);
    }
  }
  if (first) await show(first);
}

/** Put an open file into the list. */
function listed(file) {
  const item = document.createElement("li");
  item.innerHTML = '<button type="button"></button><progress max="1" value="0" hidden></progress>'
    + '<button type="button" class="close">Close</button><span class="state" hidden></span>';
  const [name, close] = item.querySelectorAll("button");
  name.textContent = file.name;
  close.setAttribute("aria-label", `Close ${file.name}`);
  item.querySelector("progress").setAttribute("aria-label", `Progress of ${file.name}`);
  name.onclick = () => show(file);
  close.onclick = () => {
    files.delete(file.id);
    item.remove();
    engine.close(file);
    if (current === file) {
      player.pause();
      $("work").hidden = true;
      current = null;
    }
    $("all").hidden = files.size < 2;
  };
  file.item = item;
  files.set(file.id, file);
  $("files").append(item);
  $("all").hidden = files.size < 2;
  return file;
}

function state(file, text, bad = false) {
  const span = file.item.querySelector(".state");
  span.hidden = !text;
  span.textContent = text;
  span.classList.toggle("bad", bad);
}

async function show(file) {
  try {
    say(`Looking at ${file.name}…`);
    file.facts ??= await engine.look(file);
  } catch (error) {
    state(file, error.message, true);
    say(error.message, true);
    return;
  }
  current = file;
  for (const { item } of files.values()) item.classList.toggle("current", item === file.item);
  const { rate, channels, duration, cutoff, warning } = file.facts;
  $("name").textContent = file.name;
  $("facts").textContent = [
    `${plain(rate)}, ${channels === 1 ? "mono" : channels === 2 ? "stereo" : `${channels} channels`}, ${duration.toFixed(1)} s`,
    cutoff ? `band ends at ${plain(cutoff)}` : "not sure where the band ends",
    warning,
  ].filter(Boolean).join("; ");
  $("work").hidden = false;
  $("cutoff").value = "";
  $("start").value = 0;
  $("length").value = Math.max(0.5, Math.min(SHOWN_S, duration)).toFixed(1);
  say("");
  player.seek(0);
  outline(file);
  await refresh(engine.firstSeconds);
}

/** The whole file's waveform, and on it the part that is shown. */
function outline({ facts: { peaks, duration } }) {
  surfer?.destroy();
  const regions = Regions.create();
  surfer = WaveSurfer.create({
    container: "#overview", height: 62, peaks: [peaks], duration, interact: false, cursorWidth: 0,
    waveColor: "#4f9c90", normalize: true, plugins: [regions],
  });
  surfer.on("ready", () => {
    region = regions.addRegion({ start: 0, end: +$("length").value, maxLength: 60, minLength: 0.5, color: "#ffb45455" });
    region.on("update-end", () => {
      $("start").value = region.start.toFixed(2);
      $("length").value = (region.end - region.start).toFixed(2);
      refresh();
    });
  });
}

// Before and after --------------------------------------------------------------------------------

function options() {
  const chosen = { model: $("model").value };
  if ($("cutoff").value) chosen.cutoff = +$("cutoff").value;
  if (!$("fidelity-field").hidden && +$("fidelity").value) chosen.fidelity = +$("fidelity").value;
  if (+$("strength").value) chosen.strength = +$("strength").value;
  if ($("rate").value) chosen.rate = +$("rate").value;
  return chosen;
}

/** Show and load what the controls say; `first` seconds before the rest, so that they can be heard. */
async function refresh(first = Infinity) {
  if (!current) return;
  asking?.abort();
  const mine = asking = new AbortController();
  const duration = Math.min(60, +$("length").value || SHOWN_S);
  const start = Math.max(0, Math.min(+$("start").value || 0, current.facts.duration - duration));
  $("working").hidden = false;
  const whole = Math.min(duration, current.facts.duration);
  const load = async (seconds) => {
    const [before, after] = await Promise.all([false, true].map((enhanced) =>
      engine.section(current, { start, duration: seconds, enhanced }, options(), mine.signal)));
    mine.signal.throwIfAborted();
    player.load(signals = { before, after });
  };
  try {
    if (first < whole) await load(first);
    await load(whole);
    paint();
    say(signals.after.warning ? `${signals.after.warning}.` : "");
    document.body.dataset.ready = +(document.body.dataset.ready ?? 0) + 1;
  } catch (error) {
    if (!mine.signal.aborted) say(error.message, true);
  } finally {
    if (asking === mine) $("working").hidden = true;
  }
}

function soon() {
  clearTimeout(restart);
  restart = setTimeout(refresh, 300);
}

function paint() {
  if (!signals || document.body.classList.contains("blind")) return;
  const top = signals.after.rate / 2;
  const duration = player.duration;
  const peak = peakOf([...signals.before.channels, ...signals.after.channels]);
  const edges = signals.after.edges?.length ? signals.after.edges : (signals.after.cutoff ? [[0, duration, signals.after.cutoff]] : []);
  for (const name of ["before", "after"]) draw($(name), signals[name], { top, peak, edges });
}

// Files out ---------------------------------------------------------------------------------------

async function enhanceFile(file, format) {
  const bar = file.item.querySelector("progress");
  bar.hidden = false;
  state(file, "");
  try {
    const blob = await engine.enhance(file, { ...options(), format }, (part) => { bar.value = part; });
    file.result = { blob, name: `${file.name.replace(/\.[^.]*$/, "")}.enhanced.${format}` };
    state(file, "done");
  } catch (error) {
    state(file, error.message, true);
    say(error.message, true);
  } finally {
    bar.hidden = true;
  }
}

function save({ blob, name }) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

async function download(file) {
  $("download").disabled = true;
  delete file.result;
  await enhanceFile(file, $("format").value);
  $("download").disabled = false;
  if (file.result) {
    save(file.result);
    say(`${file.result.name} is in your downloads.`);
  }
}

async function enhanceAll() {
  $("enhance-all").disabled = true;
  await Promise.all([...files.values()].map((file) => enhanceFile(file, $("format").value)));
  $("enhance-all").disabled = false;
  say("All files are done.");
}

// The microphone ----------------------------------------------------------------------------------

const recorder = new Recorder();

async function record() {
  const button = $("record");
  try {
    if (recorder.running) {
      const wav = await recorder.stop();
      await add([new File([wav], `recording-${new Date().toISOString().slice(11, 19).replaceAll(":", "-")}.wav`)]);
    } else {
      await recorder.start();
    }
  } catch (error) {
    say(`No microphone: ${error.message}`, true);
  }
  button.textContent = recorder.running ? "Stop recording" : "Record";
  button.setAttribute("aria-pressed", recorder.running);
}

let lively = null;

async function live() {
  const button = $("live");
  try {
    if (lively) {
      await lively.stop();
      lively = null;
      say("");
    } else {
      lively = await engine.live(options());
      say(`Live: what you hear comes ${Math.round(lively.latency * 1000)} ms after the microphone; use headphones.`);
    }
  } catch (error) {
    say(error.message, true);
  }
  button.textContent = lively ? "Stop" : "Live microphone";
  button.setAttribute("aria-pressed", Boolean(lively));
}

// Blind test --------------------------------------------------------------------------------------

function score() {
  const { right, asked, chance } = abx;
  $("abx-score").textContent = asked
    ? `${right} of ${asked} right. Who only guesses does as well in ${percent(chance)} of such tests.`
    : "No answers yet.";
}

const percent = (part) => part < 0.01 ? "less than 1 %" : `${Math.round(100 * part)} %`;

/** Play A, B or X of the test, and mark which of the three is heard. */
function listen(name) {
  player.hear(name === "x" ? abx.x : name);
  player.play();
  mark(name);
}

function mark(name) {
  for (const button of document.querySelectorAll("[data-hear]")) button.setAttribute("aria-pressed", button.dataset.hear === name);
}

const blindKeys = { a: () => listen("before"), b: () => listen("after"), x: () => listen("x"), s: null };

function openAbx() {
  document.body.classList.toggle("blind", $("abx").open);
  mark(null);
  if (!$("abx").open) {
    hear(player, "after"); // and does not tell what X was
    paint();
  }
}

// Wiring ------------------------------------------------------------------------------------------

async function start() {
  $("where").textContent = engine.where;
  for (const format of engine.formats) $("format").append(new Option(format.toUpperCase(), format));
  $("live").hidden = !engine.live;
  $("choose").onclick = () => $("input").click();
  $("input").onchange = () => add($("input").files);
  $("record").onclick = record;
  $("live").onclick = live;
  $("download").onclick = () => download(current);
  $("enhance-all").onclick = enhanceAll;
  $("download-all").onclick = async () => {
    for (const file of files.values()) {
      if (!file.result) await enhanceFile(file, $("format").value);
      if (file.result) save(file.result);
    }
  };
  $("controls").onsubmit = (event) => event.preventDefault();
  for (const id of ["cutoff", "model", "fidelity", "strength", "rate"]) $(id).addEventListener("input", soon);
  $("fidelity").addEventListener("input", () => { $("fidelity-value").textContent = $("fidelity").value; });
  $("strength").addEventListener("input", () => { $("strength-value").textContent = `${$("strength").value} dB`; });
  for (const id of ["start", "length"]) {
    $(id).addEventListener("change", () => {
      const from = +$("start").value;
      region?.setOptions({ start: from, end: from + +$("length").value });
      refresh();
    });
  }
  for (const button of document.querySelectorAll("[data-hear]")) {
    button.onclick = () => listen(button.dataset.hear);
  }
  for (const button of document.querySelectorAll("[data-answer]")) {
    button.onclick = () => {
      const right = abx.answer(button.dataset.answer);
      player.pause(); // what goes on would give the next X away
      mark(null);
      score();
      $("abx-score").prepend(right ? "Right. " : "Wrong. ");
    };
  }
  $("abx-reset").onclick = () => { abx.reset(); score(); };
  $("abx").ontoggle = openAbx;
  wire(player, () => current && ($("abx").open ? blindKeys : {}));
  document.addEventListener("dragover", (event) => { event.preventDefault(); document.body.classList.add("dragging"); });
  document.addEventListener("dragleave", (event) => { if (!event.relatedTarget) document.body.classList.remove("dragging"); });
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    document.body.classList.remove("dragging");
    add(event.dataTransfer.files);
  });
  new ResizeObserver(() => paint()).observe($("views"));

  const models = await engine.models();
  const describe = () => {
    const model = models.find(({ name }) => name === $("model").value);
    $("model-hint").textContent = model.description;
    $("fidelity-field").hidden = !model.has_fidelity;
  };
  for (const { name, is_default } of models) $("model").append(new Option(name, name, is_default, is_default));
  $("model").addEventListener("input", describe);
  describe();
  const opened = (await engine.given()).map(listed);
  if (opened.length) await show(opened[0]);
}

start().catch((error) => say(error.message, true));
