"use strict";
// The sheets of clips. Data arrive as script files that call CSG.add: a page that is opened from a file may not fetch.
// Every text goes in through textContent, every link through safe(): titles are somebody else's words.

const PAGE = 48; // cards on a page of the kept sheet
const STEP = 24; // cards of a group that "more" adds
const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;

const CSG = {
  summary: null,
  files: new Map(), // name -> records
  waiting: new Map(), // name -> [resolve, ...]
  add(name, records) {
    this.files.set(name, records);
    (this.waiting.get(name) || []).forEach((resolve) => resolve(records));
    this.waiting.delete(name);
  },
  load(name) {
    if (this.files.has(name)) return Promise.resolve(this.files.get(name));
    return new Promise((resolve) => {
      const first = !this.waiting.has(name);
      this.waiting.set(name, [...(this.waiting.get(name) || []), resolve]);
      if (!first) return;
      const script = document.createElement("script");
      script.src = `data/${encodeURIComponent(name)}.js`;
      script.onerror = () => this.add(name, []);
      document.head.append(script);
    });
  },
};

function make(tag, className, text) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== undefined && text !== null) node.textContent = String(text);
  return node;
}

function safe(url) {
  return typeof url === "string" && /^https?:\/\//i.test(url) ? url : null;
}

function picture(path) {
  return path ? `url("${encodeURI(path).replace(/"/g, "%22")}")` : "none";
}

function clock(seconds) {
  if (seconds === null || seconds === undefined) return "";
  const whole = Math.floor(seconds);
  const parts = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const shown = parts[0] ? parts : parts.slice(1);
  return shown.map((part, i) => (i ? String(part).padStart(2, "0") : part)).join(":");
}

function number(value) {
  if (typeof value !== "number") return String(value);
  if (Number.isInteger(value)) return value.toLocaleString("en");
  return Number(value.toPrecision(3)).toString();
}

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

function card(record, square, open) {
  const node = make("button", "card");
  node.type = "button";
  const frame = make("span", "frame");
  const path = (square && record.l) || record.p;
  if (path) {
    const moving = roll(path, square && Boolean(record.l));
    frame.append(moving);
    let timer = 0;
    if (square && record.l && !calm) {
      node.addEventListener("pointerenter", () => { timer = play(moving); });
      node.addEventListener("pointerleave", () => { clearInterval(timer); moving.show(0); });
    } else {
      frame.addEventListener("pointermove", (event) => moving.show(event.offsetX / frame.clientWidth));
      frame.addEventListener("pointerleave", () => moving.show(0));
    }
  } else {
    frame.append(make("span", "none", "no picture"));
  }
  if (record.n) frame.append(make("span", "time", `${number(record.n)} s`));
  node.append(frame, make("span", "name", record.t));
  const sub = square ? [record.c, clock(record.s)].filter(Boolean).join(" · ") : (record.d || []).filter(Boolean).join("; ");
  node.append(make("span", "sub", sub || record.i));
  node.title = record.i;
  node.addEventListener("click", open);
  return node;
}

// The kept sheet: pages, of which each data file holds several.

async function keptRecord(index) {
  const { size } = CSG.summary.kept;
  return (await CSG.load(`kept-${Math.floor(index / size)}`))[index % size];
}

async function showPage(page) {
  const sheet = document.querySelector("[data-pages]");
  const { count } = CSG.summary.kept;
  const last = Math.min(count, (page + 1) * PAGE);
  const cards = [];
  for (let index = page * PAGE; index < last; index += 1) {
    const record = await keptRecord(index);
    if (record) cards.push(card(record, true, () => openDetails({ kept: true, index })));
  }
  sheet.replaceChildren(...cards);
  pager(page, Math.ceil(count / PAGE));
}

function pager(page, pages) {
  const bar = document.querySelector("[data-pager]");
  bar.replaceChildren();
  if (pages < 2) return;
  const go = (target, text, label) => {
    const button = make("button", "", text);
    button.type = "button";
    if (label) button.setAttribute("aria-label", label);
    button.disabled = target < 0 || target >= pages;
    if (target === page) button.setAttribute("aria-current", "page");
    button.addEventListener("click", async () => {
      await showPage(target);
      document.getElementById("kept").scrollIntoView();
    });
    bar.append(button);
  };
  go(page - 1, "‹", "previous page");
  const near = [...new Set([0, 1, page - 2, page - 1, page, page + 1, page + 2, pages - 2, pages - 1])]
    .filter((n) => n >= 0 && n < pages)
    .sort((a, b) => a - b);
  near.forEach((n, i) => {
    if (i && n - near[i - 1] > 1) bar.append(make("span", "", "…"));
    go(n, (n + 1).toLocaleString("en"));
  });
  go(page + 1, "›", "next page");
}

// A group of dropped ones: filled when it comes near the window, and further on demand.

async function fillGroup(sheet) {
  const records = await CSG.load(sheet.dataset.file);
  const more = make("button", "", "");
  more.type = "button";
  const add = () => {
    const first = sheet.childElementCount;
    records.slice(first, first + STEP).forEach((record, i) => {
      const index = first + i;
      sheet.append(card(record, false, () => openDetails({ kept: false, file: sheet.dataset.file, index })));
    });
    const left = records.length - sheet.childElementCount;
    more.textContent = `Show ${Math.min(left, STEP)} more`;
    more.hidden = left <= 0;
  };
  more.addEventListener("click", add);
  sheet.after(more);
  add();
}

// Details.

let timer = 0;

async function openDetails(place) {
  const box = document.getElementById("details");
  const record = place.kept ? await keptRecord(place.index) : (await CSG.load(place.file))[place.index];
  if (!record) return;
  const count = place.kept ? CSG.summary.kept.count : CSG.files.get(place.file).length;
  clearInterval(timer);
  box.replaceChildren(head(record, place, count), inside(record));
  history.replaceState(null, "", `#${place.kept ? "kept" : place.file}/${place.index}`);
  if (!box.open) box.showModal();
  box.scrollTop = 0;
  box.onkeydown = (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    const target = place.index + (step || 0);
    if (!step || event.target.tagName === "VIDEO" || target < 0 || target >= count) return;
    event.preventDefault();
    openDetails({ ...place, index: target });
  };
}

function head(record, place, count) {
  const bar = make("div", "sheet-head");
  const title = make("div");
  title.append(make("h3", "", record.t));
  const line = make("p");
  const span = record.s === null || record.s === undefined ? "" : `${clock(record.s)} to ${clock(record.s + record.n)}`;
  line.textContent = [record.c, ...(record.a || []), span].filter(Boolean).join(" · ");
  const url = safe(record.u);
  if (url) {
    const anchor = make("a", "", "source");
    anchor.href = url;
    anchor.rel = "noreferrer noopener";
    anchor.target = "_blank";
    line.append(line.textContent ? " · " : "", anchor);
  }
  title.append(line, make("p", "id", record.i));
  const tools = make("div", "tools");
  const button = (text, label, act, off) => {
    const node = make("button", "", text);
    node.type = "button";
    node.setAttribute("aria-label", label);
    node.disabled = Boolean(off);
    node.autofocus = label === "close";
    node.addEventListener("click", act);
    tools.append(node);
  };
  button("‹", "previous", () => openDetails({ ...place, index: place.index - 1 }), place.index <= 0);
  button("›", "next", () => openDetails({ ...place, index: place.index + 1 }), place.index >= count - 1);
  button("✕", "close", () => document.getElementById("details").close());
  bar.append(title, tools);
  return bar;
}

function inside(record) {
  const body = make("div", "inside");
  if (record.v || record.l) body.append(moving(record));
  if (record.p) {
    const strip = make("img", "strip");
    strip.alt = "pictures of the clip, in order";
    strip.src = encodeURI(record.p);
    body.append(strip);
  }
  const reasons = make("ul", "why");
  record.r.forEach((code, i) => {
    const item = make("li", "", CSG.summary.reasons[code] || code.replaceAll("_", " "));
    if (record.d && record.d[i]) item.append(make("small", "mono", record.d[i]));
    reasons.append(item);
  });
  if (record.o) reasons.append(make("li", "", record.k ? "a person decided to keep it" : "a person decided to drop it"));
  if (reasons.childElementCount) body.append(reasons);
  if (record.m) body.append(facts(record));
  return body;
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

function facts(record) {
  const list = make("dl", "facts");
  const add = (name, text, value, unit, out) => {
    const row = make("div", out ? "fact out" : "fact");
    const label = make("dt", "", name);
    label.title = text;
    const shown = make("dd", "", value === null ? "not measured" : value === true ? "yes" : value === false ? "no" : number(value));
    if (value !== null && unit) shown.append(make("small", "", unit));
    row.append(label, shown);
    list.append(row);
  };
  CSG.summary.fields.forEach(([name, unit, text, side, limit], i) => {
    const value = record.m[i];
    const out = typeof value === "number" && limit !== null && (side === "min" ? value < limit : value > limit);
    const note = limit === null ? unit : `${unit} (${side === "min" ? "≥" : "≤"} ${number(limit)})`;
    add(name, text, value === undefined ? null : value, note, out);
  });
  if (record.b) add("crop box", "x1, y1, x2, y2, half open", record.b.join(", "), "px");
  return list;
}

function start() {
  const box = document.getElementById("details");
  box.addEventListener("click", (event) => { if (event.target === box) box.close(); });
  box.addEventListener("close", () => {
    clearInterval(timer);
    box.replaceChildren();
    history.replaceState(null, "", location.pathname + location.search);
  });
  document.querySelectorAll(".unfold").forEach((button) => button.addEventListener("click", () => {
    button.parentElement.classList.add("open");
    button.remove();
  }));
  if (document.querySelector("[data-pages]")) showPage(0);
  const near = new IntersectionObserver((entries) => entries.filter((entry) => entry.isIntersecting).forEach((entry) => {
    near.unobserve(entry.target);
    fillGroup(entry.target);
  }), { rootMargin: "600px" });
  document.querySelectorAll("[data-file]").forEach((sheet) => near.observe(sheet));
  const place = /^#(kept|dropped-[\w-]*)\/(\d+)$/.exec(location.hash);
  if (place) {
    const index = Number(place[2]);
    (place[1] === "kept" ? keptRecord(index) : CSG.load(place[1])).then(() =>
      openDetails({ kept: place[1] === "kept", file: place[1], index }));
  }
}

addEventListener("DOMContentLoaded", start);
