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
    button("Save thresholds.toml", () => save("thresholds.toml", "application/toml", thresholdsFile())),
    button("Save overrides.csv", () => save("overrides.csv", "text/csv", Votes.csv())),
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
  Object.assign(name, { type: "text", id: "voter", placeholder: "your name (column who)" });
  name.setAttribute("aria-label", "your name (column who)");
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
    const { read, wrong } = Votes.load(await file.files[0].text());
    const missed = wrong.length ? `; not all was: ${wrong.slice(0, 3).join("; ")}${wrong.length > 3 ? ` and ${count(wrong.length - 3)} more` : ""}` : "";
    said.textContent = `${count(read)} ${read === 1 ? "vote was" : "votes were"} read${missed}.`;
    file.value = "";
  });
  row.append(name, label, button("Forget my votes", () => Votes.forget()), said);
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
    if (decisions.untold) said.push(`${count(decisions.untold)} more match nobody in this run, and are not shown: they may be of channels that opted out.`);
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
