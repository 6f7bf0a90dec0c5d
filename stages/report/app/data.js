// Data arrive as script files that call CSG.add: a page that is opened from a file may not fetch.
// Every text goes in through textContent, every link through safe(): titles are somebody else's words.

const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;

const CHUNKS = 64; // files of cards that are held at a time

const CSG = {
  summary: null,
  files: new Map(), // name -> what it holds, as long as it is needed
  waiting: new Map(), // name -> [resolve, ...]
  add(name, value) {
    this.files.set(name, value);
    (this.waiting.get(name) || []).forEach((resolve) => resolve(value));
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
      script.onload = () => script.remove();
      script.onerror = () => { script.remove(); this.add(name, null); };
      document.head.append(script);
    });
  },
  // What is unpacked at once need not stay as text.
  async take(name) {
    const value = await this.load(name);
    this.files.delete(name);
    return value;
  },
  // The card of one of everybody: the files that were asked for longest ago make room.
  async record(index) {
    const { size } = this.summary.people;
    const name = `people-${Math.floor(index / size)}`;
    const records = (await this.load(name)) || [];
    this.files.delete(name);
    this.files.set(name, records);
    const held = [...this.files.keys()].filter((key) => /^people-\d/.test(key));
    held.slice(0, Math.max(0, held.length - CHUNKS)).forEach((key) => this.files.delete(key));
    return records[index % size];
  },
};

const ARRAYS = { u1: Uint8Array, u2: Uint16Array, u4: Uint32Array, f4: Float32Array, f8: Float64Array };

// [type, base64 of little-endian bytes] -> numbers
function unpack([type, text]) {
  const raw = atob(text);
  const bytes = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i += 1) bytes[i] = raw.charCodeAt(i);
  return new ARRAYS[type](bytes.buffer);
}

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

function count(value) {
  return value.toLocaleString("en");
}

function signed(value) {
  return `${value < 0 ? "−" : "+"}${count(Math.abs(value))}`;
}

function hours(seconds) {
  if (seconds >= 36000) return `${(seconds / 3600).toLocaleString("en", { maximumFractionDigits: seconds < 360000 ? 1 : 0 })} h`;
  if (seconds >= 3600) return `${(seconds / 3600).toFixed(2)} h`;
  const whole = Math.round(seconds);
  return whole >= 60 ? `${Math.floor(whole / 60)} min ${whole % 60} s` : `${whole} s`;
}

function button(text, act, label) {
  const node = make("button", "", text);
  node.type = "button";
  if (label) node.setAttribute("aria-label", label);
  if (act) node.addEventListener("click", act);
  return node;
}

// Hands a text to the browser as a file to save.
function save(name, type, text) {
  const anchor = make("a");
  anchor.href = URL.createObjectURL(new Blob([text], { type }));
  anchor.download = name;
  anchor.click();
  setTimeout(() => URL.revokeObjectURL(anchor.href), 10000);
}
