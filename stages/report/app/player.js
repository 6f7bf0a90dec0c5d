// Moving pictures: one canvas with the film and the skeleton in step. At most one film is open at a time, and one that is left is
// released, whatever the page's length. Cards ask `pictureOf`, details ask `moving`; keys and buttons are in controls.js.

const GAP = 4; // pixels between the pictures of a strip
const chosen = { skeleton: true, slow: false, sound: false }; // sound: of the large player alone, cards begin muted
let showing = null; // the film that is open

// What a card shows of a record, or null: it plays, without sound, while the pointer is over the card or the focus on it.
function pictureOf(record, card_) {
  const node = player(record);
  if (!node || !node.play) return node;
  card_.player = node;
  card_.addEventListener("pointerenter", () => { if (!calm) node.play(); });
  card_.addEventListener("pointerleave", (event) => { if (event.relatedTarget !== soundButton()) stopPlaying(node); });
  card_.addEventListener("focus", () => { if (!calm && card_.matches(":focus-visible")) node.play(); });
  card_.addEventListener("blur", () => stopPlaying(node));
  return node;
}

// What the details show of a record, or null; it plays at once, unless less motion is wanted.
function moving(record) {
  const node = player(record, true);
  if (node && node.play) requestAnimationFrame(() => { if (node.isConnected) node.play(); });
  return node;
}

// A picture of a record with a method `play` where there is a film, and `stop`.
function player(record, large = false) {
  if (!record.p && !record.l && !record.v) return null;
  const node = make(large ? "div" : "span", large ? "player large" : "player");
  const screen = make(large ? "div" : "span", "screen");
  screen.append(poster(record));
  node.append(screen);
  node.stop = () => stopPlaying(node);
  if (!record.v) return node;
  node.play = () => {
    if (showing && showing.node === node) return showing;
    stopPlaying();
    showing = new Showing(node, screen, record, large);
    return showing;
  };
  if (large) node.append(controls(node));
  return node;
}

// Close the open film: all of it, or only if it is that of a node.
function stopPlaying(node) {
  if (!showing || (node && showing.node !== node)) return;
  const closing = showing;
  showing = null;
  closing.close();
}

// One picture of the strip, whole, whatever its shape; the pointer's place chooses which where there is no film.
function poster(record) {
  const node = make("span", "poster");
  const square = Boolean(record.l);
  const path = square ? record.l : record.p;
  if (!path) return make("span", "none", "no picture");
  const image = new Image();
  image.onload = () => {
    const wide = image.naturalWidth;
    const tall = image.naturalHeight;
    const gap = square ? 0 : GAP;
    const count = (!square && record.h) || Math.max(1, Math.round(square ? wide / tall : wide / ((tall * 16) / 9)));
    const tile = (wide - gap * (count - 1)) / count;
    node.style.aspectRatio = `${tile} / ${tall}`;
    const frame = 16 / 9;
    node.classList.add(Math.abs(tile / tall / frame - 1) < 0.01 ? "fills" : tile < tall * frame ? "tall" : "wide");
    node.style.backgroundSize = `${(100 * wide) / tile}% 100%`;
    node.style.backgroundImage = picture(path);
    node.show = (share) => {
      const at = Math.min(count - 1, Math.floor(share * count)) * (tile + gap);
      node.style.backgroundPositionX = `${wide > tile ? (100 * at) / (wide - tile) : 0}%`;
    };
    node.show(0);
  };
  image.onerror = () => node.replaceWith(make("span", "none", "no picture"));
  image.src = encodeURI(path);
  if (!record.v) {
    node.addEventListener("pointermove", (event) => node.show && node.show(event.offsetX / node.clientWidth));
    node.addEventListener("pointerleave", () => node.show && node.show(0));
  }
  return node;
}

// A film that is open: a video that is never shown itself, and the canvas that it is drawn on.
class Showing {
  constructor(node, screen, record, large) {
    Object.assign(this, { node, screen, large, pose: null, frame: 0, closed: false });
    this.canvas = make("canvas");
    this.canvas.setAttribute("aria-hidden", "true");
    this.pen = this.canvas.getContext("2d");
    const video = document.createElement("video");
    Object.assign(video, { muted: !(large && chosen.sound), loop: true, playsInline: true, preload: "auto" });
    this.video = video;
    video.addEventListener("loadeddata", () => this.begin());
    video.addEventListener("error", () => this.fail());
    ["play", "pause", "volumechange", "ratechange", "timeupdate"].forEach((name) => video.addEventListener(name, () => this.tell()));
    this.watch();
    video.src = encodeURI(record.v);
    loadPose(record.z).then((pose) => {
      if (this.closed) return;
      this.pose = pose;
      this.draw();
    });
    this.resized = new ResizeObserver(() => this.draw());
    if (!large) offerSound(this);
  }

  begin() {
    if (this.closed) return;
    const { video } = this;
    if (this.large) this.screen.style.aspectRatio = `${video.videoWidth} / ${video.videoHeight}`;
    this.screen.append(this.canvas);
    this.resized.observe(this.canvas);
    this.speed(chosen.slow);
    this.draw();
    if (!this.large || !calm) this.run();
  }

  // A browser that does not let a film begin with sound lets it begin without.
  run() {
    const { video } = this;
    video.play().catch(() => {
      if (this.closed || video.muted) return;
      video.muted = true;
      video.play().catch(() => {});
    });
  }

  // Called for each picture that is presented, with the time that it stands for: no clock beside the film's own.
  watch() {
    if (this.closed) return;
    const { video } = this;
    const seen = (seconds) => {
      if (this.closed) return;
      if (!this.node.isConnected) { stopPlaying(this.node); return; }
      this.frame = Math.round(seconds * FPS);
      this.draw();
      this.watch();
    };
    if (video.requestVideoFrameCallback) video.requestVideoFrameCallback((now, about) => seen(about.mediaTime));
    else requestAnimationFrame(() => seen(Math.floor(video.currentTime * FPS + 0.01) / FPS));
  }

  draw() {
    const { canvas, pen, video, pose } = this;
    if (this.closed || !video.videoWidth || !canvas.isConnected) return;
    const dense = window.devicePixelRatio || 1;
    const [wide, tall] = [canvas.clientWidth, canvas.clientHeight].map((side) => Math.max(1, Math.round(side * dense)));
    if (canvas.width !== wide || canvas.height !== tall) Object.assign(canvas, { width: wide, height: tall });
    const fit = Math.min(wide / video.videoWidth, tall / video.videoHeight);
    const [shownWide, shownTall] = [video.videoWidth * fit, video.videoHeight * fit];
    const view = { x: (wide - shownWide) / 2, y: (tall - shownTall) / 2 };
    pen.fillStyle = "#000";
    pen.fillRect(0, 0, wide, tall);
    pen.drawImage(video, view.x, view.y, shownWide, shownTall);
    if (pose) {
      view.scale = shownWide / pose.size[0];
      if (chosen.skeleton) drawSkeleton(pen, pose, this.frame, view);
      if (this.large && pose.box) drawBox(pen, pose.box, view, dense);
    }
    this.canvas.dataset.frame = this.frame;
    this.tell();
  }

  toggle() {
    if (this.video.paused) this.run();
    else this.video.pause();
  }

  sound() {
    this.video.muted = !this.video.muted;
    if (this.large) chosen.sound = !this.video.muted;
  }

  speed(slow) {
    chosen.slow = slow;
    this.video.playbackRate = slow ? 0.5 : 1;
  }

  // Into the middle of a picture, so that rounding cannot end in its neighbour.
  go(frame) {
    if (!this.video.duration) return;
    const last = Math.max(0, Math.round(this.video.duration * FPS) - 1);
    this.video.currentTime = (Math.min(Math.max(frame, 0), last) + 0.5) / FPS;
  }

  step(by) {
    this.video.pause();
    this.go(this.frame + by);
  }

  tell() {
    if (this.large) this.node.tell(this.closed ? null : this);
    else offerSound(this.closed ? null : this);
  }

  fail() {
    if (this.closed) return;
    this.node.classList.add("unplayable");
    stopPlaying(this.node);
  }

  // An empty source lets the browser free the decoder and the file at once.
  close() {
    this.closed = true;
    this.resized.disconnect();
    this.canvas.remove();
    this.video.pause();
    this.video.removeAttribute("src");
    this.video.load();
    this.tell();
  }
}

function drawBox(pen, [left, top, right, bottom], view, dense) {
  pen.setLineDash([6 * dense, 4 * dense]);
  pen.lineWidth = 1.5 * dense;
  pen.strokeStyle = "#fff";
  pen.strokeRect(view.x + left * view.scale, view.y + top * view.scale, (right - left) * view.scale, (bottom - top) * view.scale);
  pen.setLineDash([]);
}
