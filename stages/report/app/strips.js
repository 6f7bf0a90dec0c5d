// The moving pictures: cards ask `pictureOf`, details ask `moving`, and nothing else here is known outside this file.

// A row of pictures behind a square window: the pointer's place chooses the picture, and time does while it rests.
function roll(path, square) {
  const node = make("span", "roll");
  const image = new Image();
  image.onload = () => {
    const window_ = node.parentElement;
    const tile = square ? image.naturalHeight : (image.naturalHeight * window_.clientWidth) / window_.clientHeight;
    node.tiles = Math.max(1, Math.round(image.naturalWidth / tile));
    node.style.backgroundImage = picture(path);
  };
  image.onerror = () => node.replaceWith(make("span", "none", "no picture"));
  image.src = encodeURI(path);
  node.show = (share) => {
    if (!node.tiles) return;
    const at = square ? Math.min(node.tiles - 1, Math.floor(share * node.tiles)) / Math.max(1, node.tiles - 1) : share;
    node.style.backgroundPositionX = `${100 * at}%`;
  };
  return node;
}

function play(node) {
  let at = 0;
  return setInterval(() => {
    if (!node.tiles) return;
    node.show((at + 0.5) / node.tiles);
    at = (at + 1) % node.tiles;
  }, 200);
}

// What a card shows of a record, or null; it moves while the pointer is over the card.
function pictureOf(record, node, frame) {
  const path = record.l || record.p;
  if (!path) return null;
  const box = make("span", record.l ? "still square" : "still");
  const pictures = roll(path, Boolean(record.l));
  box.append(pictures);
  let timer_ = 0;
  if (record.l && !calm) {
    node.addEventListener("pointerenter", () => { timer_ = play(pictures); });
    node.addEventListener("pointerleave", () => { clearInterval(timer_); pictures.show(0); });
  } else {
    frame.addEventListener("pointermove", (event) => pictures.show(event.offsetX / frame.clientWidth));
    frame.addEventListener("pointerleave", () => pictures.show(0));
  }
  return box;
}

// What the details show of a record, or null.
function moving(record) {
  if (!record.v && !record.l && !record.p) return null;
  const box = make("div", "stagebox");
  if (record.v) {
    const video = make("video");
    Object.assign(video, { src: encodeURI(record.v), controls: true, loop: true, muted: true, playsInline: true, preload: "metadata" });
    video.autoplay = !calm;
    video.onerror = () => video.remove();
    box.append(video);
  }
  if (record.l) {
    const figure = make("figure");
    const pictures = roll(record.l, true);
    figure.append(pictures);
    box.append(figure);
    if (!calm) box.stop = stopping(play(pictures));
  }
  if (!record.p) return box;
  const strip = make("img", "strip");
  strip.alt = "pictures of the clip, in order";
  strip.src = encodeURI(record.p);
  const both = make("div");
  both.append(box, strip);
  both.stop = box.stop;
  return both;
}

function stopping(timer_) {
  return () => clearInterval(timer_);
}
