// What a player is told: buttons, and keys that work wherever the focus is, but for fields that take text.

function act(node, text, label, does) {
  const button = make("button", "", text);
  button.type = "button";
  button.title = label;
  button.addEventListener("click", (event) => {
    event.stopPropagation();
    does(node.play());
  });
  return button;
}

// Of cards, which are buttons themselves and hold no other: one button that lies over the picture that plays. M does the same.
const soundButton = (() => {
  let node = null;
  return () => {
    if (node) return node;
    node = make("button", "sound");
    node.type = "button";
    node.tabIndex = -1;
    node.setAttribute("aria-label", "sound");
    node.title = "sound (M)";
    node.addEventListener("click", () => { if (showing) showing.sound(); });
    node.addEventListener("pointerleave", (event) => {
      if (showing && !showing.large && !showing.node.parentElement.contains(event.relatedTarget)) stopPlaying();
    });
    return node;
  };
})();

function offerSound(film) {
  const node = soundButton();
  if (!film) { node.remove(); return; }
  const box = film.screen.getBoundingClientRect();
  node.style.left = `${box.right + scrollX - 36}px`;
  node.style.top = `${box.top + scrollY + 6}px`;
  node.setAttribute("aria-pressed", String(!film.video.muted));
  if (!node.isConnected) document.body.append(node);
}

// Of the large player.
function controls(node) {
  const bar = make("div", "controls");
  const play = act(node, "Play", "play or pause: P", (film) => film.toggle());
  const back = act(node, "−1 frame", "a frame back: ,", (film) => film.step(-1));
  const on = act(node, "+1 frame", "a frame on: .", (film) => film.step(1));
  const slow = act(node, "½ speed", "half speed: H", (film) => film.speed(!chosen.slow));
  const bones = act(node, "Skeleton", "show or hide it: S", (film) => { chosen.skeleton = !chosen.skeleton; film.draw(); });
  const sound = act(node, "Sound", "on or off: M", (film) => film.sound());
  const place = make("input");
  Object.assign(place, { type: "range", min: 0, max: 0, step: 1, value: 0 });
  place.setAttribute("aria-label", "frame");
  place.addEventListener("input", () => { const film = node.play(); film.video.pause(); film.go(Number(place.value)); });
  const time = make("output", "time");
  bar.append(play, back, on, place, time, slow, bones, sound);
  node.tell = (film) => {
    play.textContent = film && !film.video.paused ? "Pause" : "Play";
    slow.setAttribute("aria-pressed", String(chosen.slow));
    bones.setAttribute("aria-pressed", String(chosen.skeleton));
    sound.setAttribute("aria-pressed", String(Boolean(film) && !film.video.muted));
    if (!film || !film.video.duration) return;
    place.max = Math.max(0, Math.round(film.video.duration * FPS) - 1);
    place.value = film.frame;
    time.textContent = `${(film.frame / FPS).toFixed(2)} s`;
  };
  node.tell(null);
  return bar;
}

const KEYS = {
  m: (film) => film.sound(),
  s: (film) => { chosen.skeleton = !chosen.skeleton; film.draw(); },
  p: (film) => film.toggle(),
  h: (film) => film.speed(!chosen.slow),
  ",": (film) => film.step(-1),
  ".": (film) => film.step(1),
};

function takesText(node) {
  return node.isContentEditable || node.matches("textarea, select, input:not([type=range], [type=checkbox], [type=radio], [type=button])");
}

// The player that keys mean: the large one, else the one that plays, else that of the card with the focus.
function playerFor(target) {
  const large = document.querySelector("dialog[open] .player.large");
  if (large) return large;
  if (showing) return showing.node;
  const card_ = target.closest(".card");
  return card_ && card_.player;
}

addEventListener("keydown", (event) => {
  const does = KEYS[event.key.toLowerCase()];
  if (!does || event.ctrlKey || event.metaKey || event.altKey || takesText(event.target)) return;
  const node = playerFor(event.target);
  if (!node || !node.play) return;
  event.preventDefault();
  does(node.play());
});
