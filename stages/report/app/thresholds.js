// The thresholds over their histograms: a line that is dragged, moved by keys or typed, and what comes of it at once.

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

  // All charts as things stand now, also those off the screen.
  drawn() {
    return Promise.all(this.limits.map((limit) => this.bring(limit.check).then(() => limit.draw())));
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
