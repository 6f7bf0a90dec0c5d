// People's own decisions: those of the run's overrides file, of a file that is loaded, and votes given here.
// They are kept in this browser, by run, as what differs from the run's own lines; the export holds all of them.

const VERDICTS = { keep: KEEP, drop: DROP, unsure: UNSURE };

const FORMULA = /^'*[=+\-@\t\r\n]/; // what a spreadsheet would run, as `csg405 table` knows it; an apostrophe before it makes it text

const Votes = {
  own: new Map(), // id -> [verdict, who, why], as the run's file says
  changed: new Map(), // id -> the same, or null where a line was taken back
  pending: new Map(), // of those, what this tab could not store yet
  vote: null, // Uint8Array: of each person, its own verdict
  changedNow: [], // what to call when one changes

  // Of one run: over `--serve` all runs have the same path, and runs of one name are common. A line has an item of its own in the
  // browser's store: tabs are processes that see each other's items late, and one that wrote all lines would undo the others'.
  get key() {
    return `csg405 votes ${CSG.summary.run} ${CSG.summary.mark} ${location.pathname} `;
  },

  start() {
    CSG.summary.decisions.rows.forEach(([id, verdict, who, why]) => this.own.set(unescaped(id), [verdict, unescaped(who), unescaped(why)]));
    this.divide();
    this.read();
    addEventListener("storage", (event) => {
      if (event.key === null) this.read();
      else if (event.key.startsWith(this.key)) this.look(event.key.slice(this.key.length));
      else return;
      this.tellSoon();
    });
    this.changedNow.push(() => { const box = document.querySelector("#details .voting"); if (box) box.show(); });
  },

  // Votes of a report before 2026-11-30, all in one item, get one each.
  divide() {
    try {
      const together = this.key.trimEnd();
      JSON.parse(localStorage.getItem(together) || "[]").forEach(([id, said]) => this.store(id, said));
      localStorage.removeItem(together);
    } catch {
      // Damaged, or no room for both: it stays as it was.
    }
  },

  // All that the browser keeps, from every tab, and over it what this one could not store.
  read() {
    this.changed.clear();
    try {
      Object.keys(localStorage).filter((key) => key.startsWith(this.key)).forEach((key) => this.look(key.slice(this.key.length)));
    } catch {
      // A browser that keeps nothing for pages: `store` says so with the first vote.
    }
    this.pending.forEach((_, id) => this.look(id));
  },

  // One line, as any tab left it last.
  look(id) {
    const said = this.pending.has(id) ? this.pending.get(id) : this.stored(id);
    if (said === undefined || same(said, this.own.get(id))) this.changed.delete(id);
    else this.changed.set(id, said);
  },

  // What the browser keeps of a line; undefined where that is nothing, or nothing that we wrote.
  stored(id) {
    try {
      const text = localStorage.getItem(this.key + id);
      const said = text === null ? undefined : JSON.parse(text);
      return said === null || (Array.isArray(said) && Object.hasOwn(VERDICTS, said[0])) ? said : undefined;
    } catch {
      return undefined;
    }
  },

  // Throws where the browser has no room, or keeps nothing for pages.
  store(id, said) {
    if (same(said, this.own.get(id))) localStorage.removeItem(this.key + id);
    else localStorage.setItem(this.key + id, JSON.stringify(said));
    this.pending.delete(id);
  },

  of(id) {
    return this.changed.has(id) ? this.changed.get(id) : this.own.get(id) || null;
  },

  // [id, verdict, who, why], sorted by id
  rows() {
    const ids = new Set([...this.own.keys(), ...this.changed.keys()]);
    return [...ids].sort().map((id) => [id, this.of(id)]).filter(([, said]) => said).map(([id, said]) => [id, ...said]);
  },

  // Changes lines, [id, said or null] each; the others stay as any tab left them.
  set(...lines) {
    lines.forEach(([id, said]) => this.pending.set(id, said));
    this.lost = "";
    try {
      this.pending.forEach((said, id) => this.store(id, said));
    } catch (error) {
      this.lost = `This browser does not keep votes (${error.name}): export them before the page is closed.`;
    }
    lines.forEach(([id]) => this.look(id));
    this.tell();
  },

  // Back to the run's own lines, in every tab.
  forget() {
    this.read();
    this.set(...[...this.changed.keys()].map((id) => [id, this.own.get(id) || null]));
  },

  tell() {
    this.changedNow.forEach((tell) => tell());
  },

  // Once for all that another tab changes in a burst, as when it reads a file.
  tellSoon() {
    clearTimeout(this.telling);
    this.telling = setTimeout(() => this.tell(), 20);
  },

  // Writes into `forced` what they decide, the most specific last; `unsure` decides nothing. Returns the ids that match nobody.
  apply(forced) {
    forced.fill(0);
    this.vote ||= new Uint8Array(forced.length);
    this.vote.fill(0);
    const resolved = this.rows().map(([id, verdict]) => ({ id, verdict: VERDICTS[verdict], ...about(id) }));
    for (const { found, level, verdict } of resolved.sort((a, b) => a.level - b.level)) {
      for (const i of found) {
        if (verdict !== UNSURE) forced[i] = verdict;
        if (level === 2) this.vote[i] = verdict;
      }
    }
    return resolved.filter(({ found }) => !found.length).map(({ id }) => id).sort();
  },

  csv() {
    return [["id", "verdict", "who", "why"], ...this.rows()].map((row) => row.map(cell).join(",")).join("\n") + "\n";
  },

  // Takes the lines of a file; returns how many votes were read, and what could not be, a sentence a line.
  load(text) {
    const { rows: [names, ...lines], unclosed } = cells(text.replace(/^\ufeff/, ""));
    const at = ["id", "verdict", "who", "why"].map((name) => (names || []).indexOf(name));
    if (at[0] < 0 || at[1] < 0) return { read: 0, wrong: ["line 1: the columns must be id, verdict, who, why"] };
    const [found, wrong] = [new Map(), []];
    lines.forEach((line, number_) => {
      const [id, verdict, who, why] = at.map((place_) => unescaped((line[place_] || "").trim()));
      if (unclosed && number_ === lines.length - 1) wrong.push(`row ${number_ + 2}: a quote is never closed, nothing from there on was read`);
      else if (!id || !Object.hasOwn(VERDICTS, verdict.toLowerCase())) wrong.push(`row ${number_ + 2}: needs an id, and keep, drop or unsure`);
      else found.set(id, [verdict.toLowerCase(), who, why]);
    });
    this.set(...found);
    return { read: found.size, wrong };
  },
};

function same(said, own) {
  return JSON.stringify(said || null) === JSON.stringify(own || null);
}

// A text as a cell of a CSV file, with an apostrophe before what a spreadsheet would run; numbers stay as they are.
function cell(text) {
  const plain_ = FORMULA.test(text) && !/^[+-]?[\d.]+(e[+-]?\d+)?$/i.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(plain_) ? `"${plain_.replaceAll('"', '""')}"` : plain_;
}

function unescaped(text) {
  return text.startsWith("'") && FORMULA.test(text) ? text.slice(1) : text;
}

// The rows of a CSV file, as Python reads them: a quote opens at the beginning of a cell, elsewhere it is itself. Empty lines are
// left out. `unclosed`: the last row ends within a quote.
function cells(text) {
  const rows = [[""]];
  let quoted = false;
  for (let i = 0; i < text.length; i += 1) {
    const row = rows[rows.length - 1];
    const c = text[i];
    if (quoted) {
      if (c !== '"') row[row.length - 1] += c;
      else if (text[i + 1] === '"') { row[row.length - 1] += c; i += 1; }
      else quoted = false;
    } else if (c === '"' && !row[row.length - 1]) quoted = true;
    else if (c === ",") row.push("");
    else if (c === "\n" || c === "\r") rows.push([""]);
    else row[row.length - 1] += c;
  }
  return { rows: rows.filter((row, at) => row.length > 1 || row[0] || (quoted && at === rows.length - 1)), unclosed: quoted };
}

// The buttons of one person in the details: keep, drop, unsure, and a word why.
function voting(id) {
  const box = make("div", "voting");
  const why = make("input");
  Object.assign(why, { type: "text", placeholder: "reason (optional)", value: (Votes.of(id) || [])[2] || "" });
  why.setAttribute("aria-label", "why");
  const buttons = Object.keys(VERDICTS).map((verdict) => {
    const node = button(verdict, () => vote(id, verdict, why.value));
    node.className = verdict;
    node.title = `key ${verdict[0].toUpperCase()}`;
    return node;
  });
  box.show = () => buttons.forEach((node) => node.setAttribute("aria-pressed", String((Votes.of(id) || [])[0] === node.textContent)));
  why.addEventListener("change", () => { if (Votes.of(id)) Votes.set([id, [Votes.of(id)[0], voter(), why.value.trim()]]); });
  box.append(make("span", "", "Your vote"), ...buttons, why);
  box.show();
  return box;
}

// The same vote again takes it back.
function vote(id, verdict, why) {
  Votes.look(id);
  const before = Votes.of(id);
  Votes.set([id, before && before[0] === verdict ? null : [verdict, voter(), why === undefined ? (before ? before[2] : "") : why.trim()]]);
}

function voter() {
  const field = document.getElementById("voter");
  return field ? field.value.trim() : "";
}
