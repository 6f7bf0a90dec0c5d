// What a player is told: buttons, and keys that work wherever the focus is, but for fields that take text.

function act(node, text, label, does) {
  const button = make("button", "", text);
  button.type = "button";
  button.setAttribute("aria-label", label);
  button.title = label;
  button.addEventListener("click", (event) => {
    event.stopPropagation();
    does(node.play());
  });
  return button;
}

// Of a card: out of the tab order, where M does the same for whoever has no pointer.
function soundButton(node) {
  const button = act(node, "", "sound (M)", (film) => film.sound());
  button.className = "sound";
  button.tabIndex = -1;
  button.setAttribute("aria-pressed", "false");
  node.tell = (film) => button.setAttribute("aria-pressed", String(Boolean(film) && !film.video.muted));
  return button;
}

// Of the large player.
function controls(node) {
  const bar = make("div", "controls");
  const play = act(node, "Play", "play or pause (K)", (film) => film.toggle());
  const back = act(node, "−1", "a frame back (,)", (film) => film.step(-1));
  const on = act(node, "+1", "a frame on (.)", (film) => film.step(1));
  const slow = act(node, "½ speed", "half speed (H)", (film) => film.speed(!chosen.slow));
  const bones = act(node, "Skeleton", "skeleton (S)", (film) => { chosen.skeleton = !chosen.skeleton; film.draw(); });
  const sound = act(node, "Sound", "sound (M)", (film) => film.sound());
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
  k: (film) => film.toggle(),
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
  const card = target.closest(".card");
  return card && card.querySelector(".player");
}

addEventListener("keydown", (event) => {
  const does = KEYS[event.key.toLowerCase()];
  if (!does || event.ctrlKey || event.metaKey || event.altKey || takesText(event.target)) return;
  const node = playerFor(event.target);
  if (!node || !node.play) return;
  event.preventDefault();
  does(node.play());
});

// Focus plays as the pointer does; what loses it is released.
addEventListener("focusin", (event) => {
  const card = event.target.closest(".card");
  const node = card && card.querySelector(".player");
  if (node && node.play && !calm) node.play();
  else if (showing && !showing.large && !card) stopPlaying();
});

addEventListener("focusout", (event) => {
  const card = event.target.closest(".card");
  if (card && showing && card.contains(showing.node) && !card.contains(event.relatedTarget)) stopPlaying();
});

// One tab stop a sheet: arrows, Home and End go from card to card.
function rove(sheet) {
  const stops = () => [...sheet.querySelectorAll(".card > .open")];
  const only = (stop) => stops().forEach((one) => { one.tabIndex = one === stop ? 0 : -1; });
  const current = stops().find((one) => one.tabIndex === 0 && one === document.activeElement) || stops()[0];
  if (current) only(current);
  if (sheet.roving) return;
  sheet.roving = true;
  sheet.addEventListener("focusin", (event) => { if (event.target.matches(".open")) only(event.target); });
  sheet.addEventListener("keydown", (event) => {
    const all = stops();
    const at = all.indexOf(event.target);
    if (at < 0) return;
    const line = all.filter((one) => one.getBoundingClientRect().top === all[0].getBoundingClientRect().top).length;
    const to = { ArrowLeft: at - 1, ArrowRight: at + 1, ArrowUp: at - line, ArrowDown: at + line, Home: 0, End: all.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    if (all[to]) all[to].focus();
  });
}
