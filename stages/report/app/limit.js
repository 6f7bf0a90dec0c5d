// One threshold: its line over the histogram, its number, its switch, and the keys that move it.

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
      Object.assign(bar.dataset, { kept: kept[i], dropped: all[i] - kept[i] });
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
