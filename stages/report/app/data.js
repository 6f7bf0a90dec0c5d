// Data arrive as script files that call CSG.add: a page that is opened from a file may not fetch.
// Every text goes in through textContent, every link through safe(): titles are somebody else's words.

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
