// The moving pictures of cards and details, until player.js is there: everything else asks `moving` and `roll` alone.

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

function moving(record) {
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
    if (!calm) timer = play(pictures);
  }
  return box;
}
