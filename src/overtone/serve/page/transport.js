// Play, switch between before and after, and move, by mouse and by keyboard.

export const $ = (id) => document.getElementById(id);

/** Play what is loaded, and show it. */
export function hear(player, name) {
  player.hear(name);
  document.querySelector(`input[name=heard][value=${name}]`).checked = true;
}

/** Wire the controls to a player; `keys` gives those that mean something else now, or all nothing. */
export function wire(player, keys = () => ({})) {
  const toggle = () => player.playing ? player.pause() : player.play();
  const own = {
    a: () => hear(player, "before"),
    b: () => hear(player, "after"),
    s: () => hear(player, player.heard === "after" ? "before" : "after"),
    arrowleft: () => player.seek(player.position - 1),
    arrowright: () => player.seek(player.position + 1),
    " ": toggle,
  };
  $("play").onclick = toggle;
  for (const radio of document.querySelectorAll("input[name=heard]")) radio.onchange = () => hear(player, radio.value);
  for (const id of ["before", "after"]) {
    $(id).onclick = ({ offsetX }) => player.seek(offsetX / $(id).clientWidth * player.duration);
  }
  document.addEventListener("keydown", (event) => {
    const { key, target } = event, on = (what) => target.closest?.(what);
    if (on("input:not([type=radio]), select, summary, textarea") || event.ctrlKey || event.metaKey || event.altKey) return;
    // These have a meaning of their own for what is focused.
    if ((key === " " && on("button")) || (key.startsWith("Arrow") && on("input"))) return;
    const now = keys();
    const does = now && { ...own, ...now }[key.toLowerCase()];
    if (!does) return;
    event.preventDefault();
    does();
  });
  const follow = () => {
    const part = player.duration ? player.position / player.duration : 0;
    $("playhead").style.transform = `translateX(${part * $("before").clientWidth}px)`;
    $("play").textContent = player.playing ? "Pause" : "Play";
    requestAnimationFrame(follow);
  };
  follow();
}
