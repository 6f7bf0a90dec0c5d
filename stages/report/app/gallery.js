// Everybody, kept and dropped: sorted, filtered, searched, a page at a time.

const PAGE = 48;
const STEP = 24; // cards of a refused group that "more" adds
const CHOICES = 500; // of videos or speakers in a list; the others are found by their words
const WHO = [
  ["all", "everybody"], ["kept", "kept now"], ["dropped", "dropped now"], ["was-kept", "kept by the run"],
  ["was-dropped", "dropped by the run"], ["came", "would come"], ["went", "would go"], ["unmeasured", "kept, not all measured"],
  ["voted", "voted"], ["keep", "voted keep"], ["drop", "voted drop"], ["unsure", "voted unsure"],
];
const ORDERS = [["time", "video and time"], ["nearest", "nearest the threshold"], ["sample", "a seeded sample"], ["length", "length"]];

const Gallery = {
  wanted: { who: "all", reason: "", type: "", speaker: "", video: "", words: "", measure: "", from: "", to: "", order: "time", down: false, seed: 1 },
  page: 0,
  list: new Uint32Array(0), // the people that match, in order
  turn: 0, // of drawing: a later one wins

  start() {
    this.sheet = document.querySelector("[data-sheet]");
    if (!this.sheet) return;
    this.tools();
    Argue.moved.push(() => { this.stale = true; if (this.seen) this.refresh(); });
    new IntersectionObserver(([entry]) => {
      this.seen = entry.isIntersecting;
      if (this.seen && this.stale) this.refresh();
    }, { rootMargin: "600px" }).observe(document.getElementById("people"));
    this.sheet.addEventListener("keydown", (event) => this.key(event));
  },

  ask(changes) {
    Object.assign(this.wanted, changes);
    Object.entries(changes).forEach(([name, value]) => { if (this.fields[name]) this.fields[name].value = value; });
    this.page = 0;
    return this.refresh();
  },

  tools() {
    const bar = document.querySelector("[data-tools]");
    this.fields = {};
    const labelled = (text, node) => {
      const label = make("label", "", text);
      label.append(node);
      bar.append(label);
      return node;
    };
    const choose = (name, text, choices) => {
      const node = this.fields[name] = labelled(text, make("select"));
      node.append(...choices.map(([value, words]) => new Option(words, value)));
      node.value = String(this.wanted[name]);
      node.addEventListener("change", () => this.ask({ [name]: node.value }));
    };
    const type = (name, text, kind, width) => {
      const node = this.fields[name] = labelled(text, make("input", width));
      node.type = kind;
      if (kind === "number") node.step = "any";
      node.value = this.wanted[name];
      let waiting = 0;
      node.addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(() => this.ask({ [name]: node.value }), 150); });
    };
    const { columns, reasons } = CSG.summary;
    const some = (words) => [["", "any"], ...words.slice(0, CHOICES).map((word, at) => [String(at), word]).filter(([, word]) => word),
      ...(words.length > CHOICES ? [["-1", `${count(words.length - CHOICES)} more: search for them`]] : [])];
    choose("who", "Show ", WHO);
    choose("reason", "Reason ", [["", "any"], ...reasons.map(([code, text]) => [code, text])]);
    type("words", "Search titles, channels, ids ", "search", "wide");
    if (EVERYBODY.types.length > 1) choose("type", "Speech type ", some(EVERYBODY.types));
    if (EVERYBODY.speakers.length > 1) choose("speaker", "Speaker ", some(EVERYBODY.speakers));
    choose("video", "Video ", some(EVERYBODY.videos.titles));
    choose("measure", "Measure ", [["", "any"], ...columns.map(([name, words, unit]) => [name, unit ? `${words}, ${unit}` : words])]);
    type("from", "from ", "number", "narrow");
    type("to", "to ", "number", "narrow");
    choose("order", "Order ", [...ORDERS, ...columns.map(([name, words]) => [`by ${name}`, words])]);
    const turned = button("↑", () => {
      this.wanted.down = !this.wanted.down;
      turned.textContent = this.wanted.down ? "↓" : "↑";
      turned.setAttribute("aria-label", this.wanted.down ? "largest first" : "smallest first");
      this.refresh();
    }, "smallest first");
    bar.append(turned);
    type("seed", "Seed ", "number", "narrow");
    this.fields.seed.step = 1;
    bar.append(button("Everybody", () => this.ask({ who: "all", reason: "", type: "", speaker: "", video: "", words: "", measure: "", from: "", to: "" }), "show everybody again"));
  },

  async refresh() {
    if (!this.sheet || !Argue.totals) return;
    const turn = ++this.turn;
    this.stale = false;
    const { measure, order } = this.wanted;
    const [filter, sorter] = await Promise.all([measure, order.startsWith("by ") ? order.slice(3) : ""].map((name) => name && measureOf(name)));
    if (turn !== this.turn) return;
    this.list = this.matching(this.order(sorter), filter);
    this.page = Math.min(this.page, Math.max(0, Math.ceil(this.list.length / PAGE) - 1));
    await this.show(turn);
  },

  // The numbers of those that match, in this order.
  matching(order, measure) {
    const fits = this.fits(measure);
    const found = new Uint32Array(order.length);
    let n = 0;
    for (const i of order) {
      if (fits(i)) { found[n] = i; n += 1; }
    }
    return found.subarray(0, n);
  },

  fits(measure) {
    const { who, reason, type, speaker, video, from, to } = this.wanted;
    const { recount } = Argue;
    const { flags, was } = EVERYBODY;
    const bit = reason ? 1 << CSG.summary.reasons.findIndex(([code]) => code === reason) : 0;
    const [low, high] = [from === "" ? -Infinity : Number(from), to === "" ? Infinity : Number(to)];
    const about_ = {
      all: () => true,
      kept: (i) => recount.kept[i],
      dropped: (i) => !recount.kept[i],
      "was-kept": (i) => flags[i] & FLAG.kept,
      "was-dropped": (i) => !(flags[i] & FLAG.kept),
      came: (i) => recount.kept[i] && !(flags[i] & FLAG.kept),
      went: (i) => !recount.kept[i] && flags[i] & FLAG.kept,
      unmeasured: (i) => recount.kept[i] && flags[i] & recount.asked,
      voted: (i) => Votes.vote[i],
      keep: (i) => Votes.vote[i] === KEEP,
      drop: (i) => Votes.vote[i] === DROP,
      unsure: (i) => Votes.vote[i] === UNSURE,
    }[who];
    const said = this.said();
    const ofRun = who.startsWith("was-");
    const span = measure && (low > -Infinity || high < Infinity);
    return (i) => about_(i)
      && (!bit || (ofRun ? was[i] : recount.against(i)) & bit)
      && (type === "" || EVERYBODY.type[i] === Number(type))
      && (speaker === "" || EVERYBODY.speaker[i] === Number(speaker))
      && (video === "" || EVERYBODY.video[i] === Number(video))
      && (!said || said(i))
      && (!span || inSpan(measure.value(i), low, high));
  },

  // Whether somebody's title, channel, id or speaker holds the words that are searched for; null without any.
  said() {
    const words = this.wanted.words.trim().toLowerCase();
    if (!words) return null;
    if (words.includes("/") || words.includes("#")) return (i) => personId(i).toLowerCase().includes(words);
    const { ids, titles, channels } = EVERYBODY.videos;
    const videos = Uint8Array.from(ids, (id, at) => Number(`${id}\n${titles[at]}\n${channels[at]}`.toLowerCase().includes(words)));
    const speakers = Uint8Array.from(EVERYBODY.speakers, (name) => Number(name.toLowerCase().includes(words)));
    return (i) => videos[EVERYBODY.video[i]] || speakers[EVERYBODY.speaker[i]];
  },

  order(measure) {
    const { order, down, seed } = this.wanted;
    const n = EVERYBODY.count;
    let found;
    if (measure) found = byCodes(measure, down);
    else if (order === "nearest") found = byKeys(n, this.distances());
    else if (order === "sample") found = byKeys(n, (i) => scrambled(i, Number(seed) || 0));
    else if (order === "length") found = byKeys(n, (i) => EVERYBODY.frames[i]);
    else found = byKeys(n, null);
    if (down && !measure) found.reverse();
    return found;
  },

  // How far each lies beyond the nearest of the thresholds that drop it, in widths of that measure's chart; of the chosen reason's
  // thresholds where one is chosen. Whom no threshold drops comes last.
  distances() {
    const { recount, limits } = Argue;
    const chosen = CSG.summary.reasons.findIndex(([code]) => code === this.wanted.reason);
    const found = new Float64Array(EVERYBODY.count).fill(Infinity);
    for (const { check, low, high } of limits) {
      const limit = recount.limits.get(check);
      const measure = recount.measures.get(check);
      if (limit === null || !measure || (chosen >= 0 && check.reason !== chosen)) continue;
      const { codes, levels } = measure;
      for (let i = 0; i < found.length; i += 1) {
        if (!recount.mask[i] || !recount.fails(check, i)) continue;
        const far = Math.abs(levels[Math.min(codes[i], levels.length - 1)] - limit) / (high - low || 1);
        if (far < found[i]) found[i] = far;
      }
    }
    return (i) => Math.min(2 ** 26 - 1, Math.round(found[i] * 2 ** 20));
  },

  async show(turn = ++this.turn) {
    const first = this.page * PAGE;
    const { list } = this;
    const shown = [...list.subarray(first, first + PAGE)];
    const records = await Promise.all(shown.map((index) => CSG.record(index)));
    if (turn !== this.turn) return;
    const [before, focused] = this.reached();
    if (showing && !showing.large) stopPlaying();
    this.sheet.replaceChildren(...records.map((record, i) => record && personCard(record, shown[i], () => openPerson(first + i, list))).filter(Boolean));
    this.reach(this.again(before, focused), focused);
    document.querySelector("[data-found]").textContent = this.list.length
      ? `${count(this.list.length)} of ${count(EVERYBODY.count)} people` : "Nobody matches.";
    this.pager();
  },

  pager() {
    const bar = document.querySelector("[data-pager]");
    const pages = Math.ceil(this.list.length / PAGE);
    bar.replaceChildren();
    if (pages < 2) return;
    const go = async (page) => {
      this.page = Math.min(pages - 1, Math.max(0, page));
      await this.show();
      document.getElementById("people").scrollIntoView();
    };
    const field = make("input", "narrow");
    Object.assign(field, { type: "number", min: 1, max: pages, value: this.page + 1 });
    field.setAttribute("aria-label", "page");
    field.addEventListener("change", () => go(Math.round(Number(field.value) || 1) - 1));
    const [back, on] = [button("‹", () => go(this.page - 1), "previous page"), button("›", () => go(this.page + 1), "next page")];
    back.disabled = this.page === 0;
    on.disabled = this.page === pages - 1;
    bar.append(back, "page ", field, ` of ${count(pages)}`, on);
  },

  // The card with the focus, else the one that Tab reaches; and whether it has the focus.
  reached() {
    const cards = [...this.sheet.children];
    const held = cards.indexOf(document.activeElement);
    const at = held < 0 ? cards.findIndex((node) => node.tabIndex === 0) : held;
    return [{ at, person: at < 0 ? null : cards[at].person }, held >= 0];
  },

  // Where that person's card is now; where it went from under the focus, the place that it had.
  again({ at, person }, focused) {
    const cards = [...this.sheet.children];
    const found = cards.findIndex((node) => node.person === person);
    return Math.max(0, found < 0 && focused ? Math.min(at, cards.length - 1) : found);
  },

  // One card is reached by Tab, the others by arrows.
  reach(at, focus) {
    [...this.sheet.children].forEach((node, i) => { node.tabIndex = i === at ? 0 : -1; });
    if (focus && this.sheet.children[at]) this.sheet.children[at].focus();
  },

  key(event) {
    const cards = [...this.sheet.children];
    const at = cards.indexOf(event.target.closest(".card"));
    if (at < 0 || event.ctrlKey || event.metaKey || event.altKey) return;
    const verdict = Object.keys(VERDICTS).find((name) => name[0] === event.key);
    if (verdict) {
      vote(personId(cards[at].person), verdict); // the list may be ahead of the cards
      event.preventDefault();
      return;
    }
    const across = cards.filter((card_) => card_.offsetTop === cards[0].offsetTop).length;
    const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -across, ArrowDown: across, Home: -at, End: cards.length - 1 - at }[event.key];
    if (step === undefined || !cards[at + step]) return;
    event.preventDefault();
    this.reach(at + step, true);
  },
};

function inSpan(value, low, high) {
  return value !== null && value >= low && value <= high;
}

// Everybody by their codes; those without one come last, whichever way it goes.
function byCodes({ codes }, down) {
  const starts = new Uint32Array(NULL + 2);
  for (const code of codes) starts[code + 1] += 1;
  for (let at = 1; at < starts.length; at += 1) starts[at] += starts[at - 1];
  const found = new Uint32Array(codes.length);
  for (let i = 0; i < codes.length; i += 1) { found[starts[codes[i]]] = i; starts[codes[i]] += 1; }
  if (down) found.subarray(0, starts[NOT_ASKED - 1]).reverse();
  return found;
}

// Everybody by whole keys below 2 ** 28, and in the run's order among equals.
function byKeys(n, key) {
  const room = 2 ** 24;
  const found = new Uint32Array(n);
  const keys = new Float64Array(key ? n : 0);
  for (let i = 0; i < keys.length; i += 1) keys[i] = key(i) * room + i;
  keys.sort();
  for (let i = 0; i < n; i += 1) found[i] = key ? keys[i] % room : i;
  return found;
}

// A number below 2 ** 28 that looks like chance, and is the same for the same seed.
function scrambled(index, seed) {
  let x = (index + Math.imul(seed, 0x9e3779b1) + 0x85ebca6b) | 0;
  x = Math.imul(x ^ (x >>> 16), 0x21f0aaad);
  x = Math.imul(x ^ (x >>> 15), 0x735a2d97);
  return (x ^ (x >>> 15)) >>> 4;
}

// A picture that moves under the pointer, the length over it, a title and what there is to say.
function card(record, sub, open) {
  const node = make("button", "card");
  node.type = "button";
  const frame = make("span", "frame");
  frame.append(pictureOf(record, node) || make("span", "none", "no picture was kept"));
  if (record.n) frame.append(make("span", "time", `${number(record.n)} s`));
  node.append(frame, make("span", "name", record.t), make("span", "sub", sub || record.i));
  node.title = record.i;
  node.addEventListener("click", open);
  return node;
}

function personCard(record, index, open) {
  const kept = Argue.recount.kept[index];
  const was = EVERYBODY.flags[index] & FLAG.kept;
  const reasons = kept ? [] : codesOf(Argue.recount.against(index)).map((code) => code.replaceAll("_", " "));
  const sub = [record.c, clock(record.s)].filter(Boolean).join(" · ");
  const node = card(record, reasons.join(", ") || sub, open);
  node.person = index;
  const words = kept ? (was ? "kept" : "would come") : was ? "would go" : "dropped";
  const badge = make("span", `badge ${kept ? "kept" : "dropped"}`, words);
  const voted = Object.keys(VERDICTS).find((name) => VERDICTS[name] === Votes.vote[index]);
  if (voted) badge.append(make("b", "", ` · voted ${voted}`));
  node.querySelector(".frame").append(badge);
  return node;
}

function codesOf(bits) {
  return CSG.summary.reasons.filter((_, at) => bits & (1 << at)).map(([code]) => code);
}

// A group that was refused before anybody was judged: filled when it comes near the window, and further on demand.
async function fillGroup(sheet) {
  const records = (await CSG.load(sheet.dataset.file)) || [];
  const add = () => {
    const first = sheet.childElementCount;
    sheet.append(...records.slice(first, first + STEP).map((record) =>
      card(record, (record.d || []).filter(Boolean).join("; "), () => openRecord(record))));
    const left = records.length - sheet.childElementCount;
    more.textContent = `Show ${Math.min(left, STEP)} more`;
    more.hidden = left <= 0;
  };
  const more = button("", add);
  sheet.after(more);
  add();
}
