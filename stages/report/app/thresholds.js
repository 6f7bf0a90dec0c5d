// The thresholds over their histograms: a line that is dragged, moved by keys or typed, and what comes of it at once.

const KEYS_HELP = "Left and right move the limit, with Shift ten times as far; up and down go to another measure; "
  + "Enter types a number, O switches off and on, R goes back to the run's.";

const Argue = {
  recount: null,
  limits: [], // a Limit for each threshold that has a chart
  totals: null,
  moved: [], // what to call after a recount
  settled: 0,

  async start() {
    const { thresholds, reasons } = CSG.summary;
    await gatherPeople();
    this.recount = new Recount(EVERYBODY, thresholds, reasons);
    const set = thresholds.filter((check) => check.limit !== null);
    await Promise.all(set.map((check) => this.bring(check)));
    set.forEach((check) => this.recount.set(check, check.limit));
    this.decide();
    Votes.changedNow.push(() => { this.decide(); this.count(); });
    this.limits = [...document.querySelectorAll("figure[data-measure]")].map((figure) => Limit.over(figure)).filter(Boolean);
    this.limits.forEach((limit, at) => limit.reachable(at === 0));
    this.watch();
    panel();
    this.count();
  },

  decide() {
    this.strangers = Votes.apply(this.recount.forced);
    this.recount.all();
  },

  async bring(check) {
    if (!check.measured || this.recount.measures.has(check)) return;
    this.recount.add(check, await measureOf(check.measure));
  },

  // Counts anew, says it at once, and lets charts and cards follow when the hand rests.
  count() {
    this.totals = this.recount.totals();
    told(this.totals);
    this.limits.forEach((limit) => { if (limit.seen) limit.tell(this.totals); });
    clearTimeout(this.settled);
    this.settled = setTimeout(() => this.rest(), 150);
  },

  rest() {
    this.limits.forEach((limit) => {
      limit.tell(this.totals);
      limit.stale = true;
      if (limit.seen) limit.draw();
    });
    reasonTable(this.totals);
    document.querySelector("[data-notes]").replaceChildren(...notes(this.totals).map((text) => make("p", "", text)));
    document.querySelector("[data-command]").replaceChildren(...command());
    document.querySelector("[data-said]").textContent = spoken(this.totals);
    this.moved.forEach((tell) => tell());
  },

  // Charts are drawn while they are on the screen, or when they come to it.
  watch() {
    const byFigure = new Map(this.limits.map((limit) => [limit.figure, limit]));
    const near = new IntersectionObserver((entries) => entries.forEach((entry) => {
      const limit = byFigure.get(entry.target);
      limit.seen = entry.isIntersecting;
      if (limit.seen && limit.stale) this.bring(limit.check).then(() => limit.draw());
    }), { rootMargin: "100px" });
    byFigure.forEach((_, figure) => near.observe(figure));
  },

  async set(check, limit) {
    await this.bring(check);
    this.recount.set(check, limit);
    this.count();
  },

  async reset() {
    await Promise.all(this.recount.thresholds.map(async (check) => this.recount.set(check, check.limit)));
    this.limits.forEach((limit) => limit.show());
    this.count();
  },

  changed() {
    return this.recount.thresholds.filter((check) => this.recount.limits.get(check) !== check.limit);
  },
};

const MEASURES = new Map(); // name -> promise of a Measure

function measureOf(name) {
  if (!MEASURES.has(name)) {
    const check = CSG.summary.thresholds.find((one) => one.measure === name);
    const side = check ? check.side : "min";
    MEASURES.set(name, CSG.take(`measure-${name}`).then((packed) => new Measure(packed, side)));
  }
  return MEASURES.get(name);
}

// The smallest of 1, 2 and 5 times a power of ten that is at least so large.
function roundStep(least) {
  const power = 10 ** Math.floor(Math.log10(least));
  return [1, 2, 5, 10].map((factor) => factor * power).find((step) => step >= least * (1 - 1e-9));
}

function limitText(value) {
  return value === null ? "off" : String(value);
}

// The name of a setting, that may be broken after an underscore.
function setting(check) {
  const name = make("code");
  `judge.${check.setting}`.split(/(?<=_)/).forEach((part) => name.append(part, make("wbr")));
  return name;
}

class Limit {
  static over(figure) {
    const check = CSG.summary.thresholds.find((one) => one.measure === figure.dataset.measure && one.measured);
    return check ? new Limit(figure, check) : null;
  }

  constructor(figure, check) {
    this.figure = figure;
    this.check = check;
    [this.low, this.high] = [Number(figure.dataset.low), Number(figure.dataset.high)];
    const least = (this.high - this.low) / 250;
    this.step = check.whole ? Math.max(1, Math.round(roundStep(least))) : roundStep(least);
    this.last = check.limit ?? this.typical();
    this.plot = figure.querySelector(".plot");
    this.bars = [...figure.querySelectorAll("svg g")];
    this.#controls();
    this.#pointer();
    this.show();
  }

  // Where a threshold that was never set begins: where it drops hardly anybody.
  typical() {
    return this.#round(this.check.side === "min" ? this.low + (this.high - this.low) / 20 : this.high - (this.high - this.low) / 20);
  }

  get value() {
    return Argue.recount.limits.get(this.check);
  }

  #round(value) {
    const digits = Math.max(0, -Math.floor(Math.log10(this.step) + 1e-9));
    return Number((Math.round(value / this.step) * this.step).toFixed(digits));
  }

  #controls() {
    const { check } = this;
    this.slider = make("div", "line");
    this.slider.setAttribute("role", "slider");
    this.slider.setAttribute("aria-label", `judge.${check.setting}`);
    this.slider.setAttribute("aria-describedby", "keys-help");
    this.slider.setAttribute("aria-orientation", "horizontal");
    this.slider.addEventListener("keydown", (event) => this.#key(event));
    this.plot.append(this.slider);
    this.field = make("input");
    Object.assign(this.field, { type: "number", step: check.whole ? 1 : "any" });
    if (check.least !== null) this.field.min = check.least;
    if (check.most !== null) this.field.max = check.most;
    this.field.setAttribute("aria-label", `judge.${check.setting}, a number`);
    this.field.addEventListener("change", () => this.#typed());
    this.field.addEventListener("keydown", (event) => { if (event.key === "Escape") this.slider.focus(); });
    this.on = button("", () => this.toggle());
    this.back = button("↺", () => this.to(check.limit), `judge.${check.setting}: back to the run's`);
    this.note = make("small", "effect");
    const row = make("div", "limit-row");
    row.append(setting(check), this.field, this.on, this.back);
    this.figure.addEventListener("focusin", () => {
      Argue.limits.forEach((limit) => limit.reachable(limit === this));
      this.tell(Argue.totals);
    });
    this.figure.append(row, this.note);
  }

  #pointer() {
    const at = (event) => {
      const box = this.plot.getBoundingClientRect();
      const share = Math.min(1, Math.max(0, (event.clientX - box.left) / box.width));
      this.to(this.low + share * (this.high - this.low), true);
    };
    this.plot.addEventListener("pointerdown", (event) => {
      if (event.button) return;
      this.plot.setPointerCapture(event.pointerId);
      this.slider.focus({ preventScroll: true });
      event.preventDefault();
      at(event);
    });
    this.plot.addEventListener("pointermove", (event) => { if (this.plot.hasPointerCapture(event.pointerId)) at(event); });
  }

  #key(event) {
    const far = event.shiftKey ? 10 : 1;
    const now = this.value ?? this.last;
    const moves = {
      ArrowLeft: () => this.to(now - far * this.step, true),
      ArrowRight: () => this.to(now + far * this.step, true),
      PageDown: () => this.to(now - 10 * this.step, true),
      PageUp: () => this.to(now + 10 * this.step, true),
      Home: () => this.to(this.low, true),
      End: () => this.to(this.high, true),
      ArrowUp: () => this.#beside(-1),
      ArrowDown: () => this.#beside(1),
      Enter: () => { this.field.focus(); this.field.select(); },
      o: () => this.toggle(),
      r: () => this.to(this.check.limit),
    };
    const act = moves[event.key] || moves[event.key.toLowerCase()];
    if (!act || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    act();
  }

  // One chart at a time is reached by Tab; arrows go from one to the next.
  #beside(step) {
    const shown = Argue.limits.filter((limit) => limit.figure.checkVisibility());
    const next = shown[shown.indexOf(this) + step];
    if (!next) return;
    next.slider.focus();
    next.figure.scrollIntoView({ block: "nearest", behavior: calm ? "auto" : "smooth" });
  }

  reachable(yes) {
    [this.slider, this.field, this.on, this.back].forEach((node) => { node.tabIndex = yes ? 0 : -1; });
  }

  #typed() {
    const value = this.field.value.trim() === "" ? null : Number(this.field.value);
    if (value === null || Number.isFinite(value)) this.to(value);
  }

  toggle() {
    this.to(this.value === null ? this.last : null);
  }

  // Moves the limit; by hand it falls on round numbers. Beyond what the setting takes it stays at the end of that.
  async to(value, byHand = false) {
    const { check } = this;
    await Argue.bring(check);
    let limit = value;
    if (limit !== null) {
      if (byHand) limit = this.#round(limit);
      if (check.whole) limit = Math.round(limit);
      limit = Math.min(check.most ?? Infinity, Math.max(check.least ?? -Infinity, limit));
      this.asked = limit;
      limit = Argue.recount.measures.get(check).snapped(limit);
      this.last = limit;
    }
    Argue.recount.set(check, limit);
    this.show();
    Argue.count();
    this.tell(Argue.totals); // at once, also where it lies beyond the window's edge
  }

  show() {
    const { check, value } = this;
    const at = value === null ? this.last : value;
    const share = Math.min(1, Math.max(0, (at - this.low) / (this.high - this.low)));
    this.plot.style.setProperty("--at", `${100 * share}%`);
    this.plot.classList.add("live", check.side);
    this.figure.classList.toggle("off", value === null);
    this.figure.classList.toggle("changed", value !== check.limit);
    this.field.value = value === null ? "" : value;
    this.field.placeholder = "off";
    this.on.textContent = value === null ? "off" : "on";
    this.on.setAttribute("role", "switch");
    this.on.setAttribute("aria-checked", String(value !== null));
    this.on.setAttribute("aria-label", `judge.${check.setting} is ${this.on.textContent}`);
    this.back.disabled = value === check.limit;
    this.slider.setAttribute("aria-valuemin", this.low);
    this.slider.setAttribute("aria-valuemax", this.high);
    this.slider.setAttribute("aria-valuenow", at);
  }

  tell(totals) {
    const { check, value } = this;
    const at = Argue.recount.thresholds.indexOf(check);
    const words = value === null ? ["switched off"] : [`drops ${count(totals.drops[at])}`, `${count(totals.alone[at])} would return if it were off`];
    if (value !== check.limit) words.push(`the run's: ${limitText(check.limit)}`);
    if (value !== null && this.asked !== undefined && this.asked !== value && this.last === value) {
      words.push(`${this.asked} is moved to ${value}, the nearest that can be told apart`);
    }
    const text = words.join(" · ");
    if (text !== this.told) this.note.textContent = this.told = text;
    const limit = value === null ? "off" : `${check.side === "min" ? "at least" : "at most"} ${value} ${check.unit}`;
    this.slider.setAttribute("aria-valuetext", `${limit}; ${count(totals.people)} of ${count(EVERYBODY.count)} people kept`);
  }

  // The bars: kept below, dropped on top, as recounted.
  draw() {
    const measure = Argue.recount.measures.get(this.check);
    if (!measure || !this.bars.length) return;
    this.stale = false;
    const bins = this.bars.length;
    const kept = new Uint32Array(bins);
    const all = new Uint32Array(bins);
    this.binOf ||= this.#bins(measure, bins);
    const { codes } = measure;
    for (let i = 0; i < codes.length; i += 1) {
      if (codes[i] >= NOT_ASKED) continue;
      const bin = this.binOf[codes[i]];
      all[bin] += 1;
      kept[bin] += Argue.recount.kept[i];
    }
    const { height } = this.figure.querySelector("svg").viewBox.baseVal;
    const floor = height - 8;
    const scale = floor / Math.max(1, ...all);
    this.bars.forEach((bar, i) => {
      const [title, below_, above] = bar.children;
      const heights = [kept[i] * scale, (all[i] - kept[i]) * scale];
      title.textContent = `${bar.dataset.range}: ${count(kept[i])} kept, ${count(all[i] - kept[i])} dropped`;
      below_.setAttribute("height", heights[0]);
      below_.setAttribute("y", floor - heights[0]);
      above.setAttribute("height", heights[1]);
      above.setAttribute("y", floor - heights[0] - heights[1]);
    });
  }

  // The bar of each code.
  #bins(measure, bins) {
    const found = new Uint8Array(NOT_ASKED);
    const width = (this.high - this.low) / bins;
    for (let code = 0; code <= measure.levels.length; code += 1) {
      const level = measure.levels[Math.min(code, measure.levels.length - 1)];
      found[code] = Math.min(bins - 1, Math.max(0, Math.floor((level - this.low) / width)));
    }
    return found;
  }
}

// The panel that says what comes of it, and hands it on.

function panel() {
  const box = document.querySelector("[data-now]");
  const figures = make("dl", "figures");
  [["people", "people kept"], ["clips", "clips"], ["hours", "of speech and gesture"], ["turned", "come and go"]].forEach(([name, text]) => {
    const tile = make("div");
    const value = make("dd");
    value.dataset.figure = name;
    tile.append(value, make("dt", "", text));
    figures.append(tile);
  });
  const tools = make("div", "now-tools");
  tools.append(
    button("Back to the run’s", () => Argue.reset()),
    button("thresholds.toml", () => save("thresholds.toml", "application/toml", thresholdsFile())),
    button("overrides.csv", () => save("overrides.csv", "text/csv", Votes.csv())),
  );
  const said = make("div", "notes");
  said.dataset.notes = "";
  box.replaceChildren(figures, tools);
  box.hidden = false;
  const line = make("p", "note command");
  line.dataset.command = "";
  const details = document.querySelector("[data-how]");
  details.append(said, line, votesTools());
}

function votesTools() {
  const row = make("p", "votes-tools");
  const name = make("input");
  Object.assign(name, { type: "text", id: "voter", placeholder: "your name, for the column who" });
  name.setAttribute("aria-label", "your name, for the column who");
  try { name.value = localStorage.getItem("csg405 voter") || ""; } catch { name.value = ""; }
  name.addEventListener("change", () => { try { localStorage.setItem("csg405 voter", name.value); } catch { name.title = "not kept"; } });
  const file = make("input");
  Object.assign(file, { type: "file", accept: ".csv,text/csv", id: "votes-file" });
  const label = make("label", "", "Load votes from a CSV file ");
  label.append(file);
  const said = make("span", "said");
  said.setAttribute("role", "status");
  file.addEventListener("change", async () => {
    if (!file.files.length) return;
    const wrong = Votes.load(await file.files[0].text());
    said.textContent = wrong.length ? `Not all was read: ${wrong.slice(0, 3).join("; ")}` : "Read.";
    file.value = "";
  });
  row.append(name, label, button("Forget my votes", () => { Votes.changed.clear(); Votes.keep(); }), said);
  return row;
}

function told(totals) {
  const put = (name, ...words) => document.querySelector(`[data-figure="${name}"]`).replaceChildren(...words);
  const was = { people: 0, clips: 0, frames: 0 };
  Object.assign(was, Argue.wasKept ||= wasKept());
  const beside = (value, before, text) => make("small", value === before ? "" : "changed", value === before ? "as the run" : text);
  put("people", count(totals.people), beside(totals.people, was.people, signed(totals.people - was.people)));
  put("clips", count(totals.clips), beside(totals.clips, was.clips, signed(totals.clips - was.clips)));
  const longer = totals.frames - was.frames;
  put("hours", hours(totals.frames / FPS), beside(totals.frames, was.frames, `${longer < 0 ? "−" : "+"}${hours(Math.abs(longer) / FPS)}`));
  put("turned", `${count(totals.came)} / ${count(totals.went)}`);
}

function wasKept() {
  const { flags, clip, frames, count: n } = EVERYBODY;
  const was = { people: 0, clips: 0, frames: 0 };
  let last = -1;
  for (let i = 0; i < n; i += 1) {
    if (!(flags[i] & FLAG.kept)) continue;
    was.people += 1;
    was.frames += frames[i];
    if (clip[i] !== last) was.clips += 1;
    last = clip[i];
  }
  return was;
}

// What has to be said beside the figures.
function notes(totals) {
  const said = [];
  const { costly, decisions } = CSG.summary;
  if (totals.unmeasured) {
    said.push(`${count(totals.unmeasured)} of them would have to be measured first (${costly.filter(([, ran]) => ran).map(([kind]) => kind.replace("_", " ")).join(", ")}): `
      + "the gate held them back, and judge keeps them until that is known. Loosen overlap.gate, same_face.gate and lip_sync.gate with the thresholds.");
  }
  if (totals.byVote) said.push(`${count(totals.byVote)} people by overrides and votes, which win over thresholds.`);
  if (decisions.file) {
    said.push(decisions.trouble ? `The run's overrides cannot be read: ${decisions.trouble}`
      : `The run's ${decisions.file}: ${count(decisions.rows.length)} lines.`);
  }
  if (Argue.strangers.length) {
    said.push(`${count(Argue.strangers.length)} ids of overrides match nobody in this run: ${Argue.strangers.slice(0, 3).join(", ")}${Argue.strangers.length > 3 ? " …" : ""}`);
  }
  if (Votes.lost) said.push(Votes.lost);
  if (!Argue.changed().length && !Votes.changed.size && (totals.came || totals.went)) {
    said.push(`With its own thresholds judge would come to another result today (${count(totals.came)} would come, ${count(totals.went)} go): measures or settings changed since it ran.`);
  }
  return said;
}

function spoken(totals) {
  return `${count(totals.people)} people, ${count(totals.clips)} clips, ${hours(totals.frames / FPS)} kept; ${count(totals.came)} come, ${count(totals.went)} go`;
}

// The command that does to the run what the page shows; the page lies in the run's folder.
function command() {
  const path = decodeURIComponent(location.pathname).replace(/\/report\/[^/]*$/, "");
  const run = location.protocol === "file:" ? path : `runs/${CSG.summary.run}`;
  const shell = /^[\w./-]+$/.test(run) ? run : `'${run.replaceAll("'", "'\\''")}'`;
  const votes = Votes.changed.size ? " --set judge.overrides=overrides.csv" : "";
  return ["Save ", make("b", "", votes ? "thresholds.toml and overrides.csv" : "thresholds.toml"), ", then, where they lie: ",
    make("code", "", `csg405 run filter --run ${shell} --settings thresholds.toml${votes}`)];
}

// [judge] with every threshold, so that the same people come out whatever was set before.
function thresholdsFile() {
  const lines = Argue.recount.thresholds.map((check) => {
    const limit = Argue.recount.limits.get(check);
    const text = limit === null ? '"off"' : check.whole || !Number.isInteger(limit) ? String(limit) : `${limit}.0`;
    const change = limit === check.limit ? "" : `; the run's: ${limitText(check.limit)}`;
    return `${check.setting} = ${text}  # ${check.text}${change}`;
  });
  const { people, clips, frames } = Argue.totals;
  return [`# Thresholds that were settled on the report of ${JSON.stringify(CSG.summary.run)}: ${count(people)} people, ${count(clips)} clips, ${hours(frames / FPS)}.`,
    "[judge]", ...lines, ""].join("\n");
}

// What each reason costs, with the thresholds as they are now.
function reasonTable(totals) {
  const body = document.querySelector("[data-reasons] tbody");
  const lines = totals.lines.map((line, at) => ({ ...line, at })).filter((line) => line.any).sort((a, b) => b.any - a.any);
  body.replaceChildren(...lines.map((line) => {
    const [code, text] = CSG.summary.reasons[line.at];
    const row = make("tr");
    const first = make("td");
    const anchor = make("a", "", text);
    anchor.href = "#people";
    anchor.dataset.reason = code;
    first.append(anchor);
    const dash = line.only ? null : "–";
    row.append(first, ...[count(line.any), hours(line.frames / FPS), dash ?? count(line.only), dash ?? hours(line.onlyFrames / FPS)]
      .map((value, i) => make("td", i === 3 ? "num strong" : "num", value)));
    return row;
  }));
  document.querySelector("[data-reasons]").hidden = !lines.length;
  rove(body);
}
