// People's own decisions: those of the run's overrides file, of a file that is loaded, and votes given here.
// They are kept in this browser, by run, as what differs from the run's own lines; the export holds all of them.

const VERDICTS = { keep: KEEP, drop: DROP, unsure: UNSURE };

const Votes = {
  own: new Map(), // id -> [verdict, who, why], as the run's file says
  changed: new Map(), // id -> the same, or null where a line was taken back
  vote: null, // Uint8Array: of each person, its own verdict
  changedNow: [], // what to call when one changes

  get key() {
    return `csg405 votes ${CSG.summary.run} ${location.pathname}`;
  },

  start() {
    CSG.summary.decisions.rows.forEach(([id, ...said]) => this.own.set(id, said));
    let kept = null;
    try { kept = JSON.parse(localStorage.getItem(this.key)); } catch { kept = null; }
    if (Array.isArray(kept)) {
      kept.filter(([id, said]) => typeof id === "string" && (said === null || said[0] in VERDICTS))
        .forEach(([id, said]) => this.changed.set(id, said));
    }
  },

  of(id) {
    return this.changed.has(id) ? this.changed.get(id) : this.own.get(id) || null;
  },

  // [id, verdict, who, why], sorted by id
  rows() {
    const ids = new Set([...this.own.keys(), ...this.changed.keys()]);
    return [...ids].sort().map((id) => [id, this.of(id)]).filter(([, said]) => said).map(([id, said]) => [id, ...said]);
  },

  set(id, said) {
    const own = this.own.get(id) || null;
    if (JSON.stringify(said) === JSON.stringify(own)) this.changed.delete(id);
    else this.changed.set(id, said);
    this.keep();
  },

  keep() {
    try {
      if (this.changed.size) localStorage.setItem(this.key, JSON.stringify([...this.changed]));
      else localStorage.removeItem(this.key);
      this.lost = "";
    } catch (error) {
      this.lost = `This browser does not keep votes (${error.name}): export them before the page is closed.`;
    }
    this.changedNow.forEach((tell) => tell());
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
    const cell = (text) => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
    return [["id", "verdict", "who", "why"], ...this.rows()].map((row) => row.map(cell).join(",")).join("\n") + "\n";
  },

  // Takes the lines of a file; returns what could not be read, a sentence a line.
  load(text) {
    const [names, ...lines] = cells(text.replace(/^\ufeff/, ""));
    const at = ["id", "verdict", "who", "why"].map((name) => (names || []).indexOf(name));
    if (at[0] < 0 || at[1] < 0) return ["line 1: the columns must be id, verdict, who, why"];
    const wrong = [];
    lines.forEach((line, number_) => {
      const [id, verdict, who, why] = at.map((place_) => (line[place_] || "").trim());
      if (!id || !(verdict.toLowerCase() in VERDICTS)) wrong.push(`row ${number_ + 2}: needs an id, and keep, drop or unsure`);
      else this.changed.set(id, [verdict.toLowerCase(), who, why]);
    });
    this.keep();
    return wrong;
  },
};

// The rows of a CSV file; empty lines are left out.
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
    } else if (c === '"') quoted = true;
    else if (c === ",") row.push("");
    else if (c === "\n") rows.push([""]);
    else if (c !== "\r") row[row.length - 1] += c;
  }
  return rows.filter((row) => row.length > 1 || row[0]);
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
  why.addEventListener("change", () => { if (Votes.of(id)) Votes.set(id, [Votes.of(id)[0], voter(), why.value]); });
  box.append(make("span", "", "Your vote"), ...buttons, why);
  box.show();
  return box;
}

// The same vote again takes it back.
function vote(id, verdict, why) {
  const before = Votes.of(id);
  Votes.set(id, before && before[0] === verdict ? null : [verdict, voter(), why ?? (before ? before[2] : "")]);
}

function voter() {
  const field = document.getElementById("voter");
  return field ? field.value.trim() : "";
}
