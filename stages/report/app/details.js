// One person, or one thing that was refused, in a window of its own.

let shown = null; // the moving picture, which is stopped when the window closes

// The person at this place of a list: the gallery's as it was when the window opened, since a vote may take people out of that.
async function openPerson(at, list = Gallery.list) {
  const index = list[at];
  const record = index === undefined ? null : await CSG.record(index);
  if (!record) return;
  const go = (step) => (list[at + step] === undefined ? null : () => openPerson(at + step, list));
  openRecord(record, { back: go(-1), on: go(1), index });
  history.replaceState(null, "", `#person=${encodeURIComponent(record.i)}`);
}

function openRecord(record, { back = null, on = null, index = null } = {}) {
  const box = document.getElementById("details");
  if (shown && shown.stop) shown.stop();
  shown = moving(record);
  const votes = index === null ? null : voting(record.i);
  const body = inside(record, index, votes);
  const held = box.open && document.activeElement.getAttribute("aria-label");
  box.replaceChildren(head(record, back, on), body);
  if (box.open) holdFocus(box, held);
  else box.showModal();
  box.scrollTop = 0;
  box.onkeydown = (event) => {
    if (event.target.closest("input, video") || event.ctrlKey || event.metaKey || event.altKey) return;
    const step = { ArrowLeft: back, ArrowRight: on }[event.key];
    const verdict = votes && Object.keys(VERDICTS).find((name) => name[0] === event.key);
    if (verdict) { vote(record.i, verdict); votes.show(); }
    if (step) step();
    if (step || verdict) event.preventDefault();
  };
}

// A window whose content is new keeps the focus, without which it hears no keys: on the same button, else on the one that closes it.
function holdFocus(box, label) {
  const [same, close] = [label, "close"].map((one) => [...box.querySelectorAll(".tools button:enabled")].find((node) => node.getAttribute("aria-label") === one));
  (same || close).focus();
}

// What speaks against somebody stands beside the film; what is within its limits comes after.
function inside(record, index, votes) {
  const body = make("div", "inside");
  const top = make("div", "stagebox");
  const beside = make("div", "beside");
  const [beyond, within] = record.m ? facts(record) : [];
  beside.append(...against(record, index), ...(beyond && beyond.childElementCount ? [beyond] : []), ...(votes ? [votes, alike(index)] : []));
  top.append(...(shown ? [shown] : []), ...(beside.childElementCount ? [beside] : []));
  body.append(top);
  if (record.p) {
    const strip = make("img", "strip");
    strip.alt = "pictures of the clip, in order";
    strip.src = encodeURI(record.p);
    body.append(strip);
  }
  if (within) body.append(within);
  return body;
}

// Ways to everybody of the same video, or of the same speaker.
function alike(index) {
  const row = make("p", "alike");
  const go = (wanted) => () => {
    document.getElementById("details").close();
    Gallery.ask({ who: "all", reason: "", type: "", speaker: "", video: "", words: "", measure: "", ...wanted });
  };
  row.append(button("All of this video", go({ video: String(EVERYBODY.video[index]) })));
  if (EVERYBODY.speaker[index]) row.append(button("All of this speaker", go({ speaker: String(EVERYBODY.speaker[index]) })));
  return row;
}

function head(record, back, on) {
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
  const close = () => document.getElementById("details").close();
  [["‹", "previous", back], ["›", "next", on], ["✕", "close", close]].forEach(([text, label, act]) => {
    const node = button(text, act, label);
    node.disabled = !act;
    node.autofocus = label === "close";
    tools.append(node);
  });
  bar.append(title, tools);
  return bar;
}

// What speaks against it: by the run, and, where thresholds were moved, now.
function against(record, index) {
  const sentences = new Map(CSG.summary.reasons);
  const list = make("ul", "why");
  record.r.forEach((code, i) => {
    const item = make("li", "", sentences.get(code) || code.replaceAll("_", " "));
    if (record.d && record.d[i]) item.append(make("small", "mono", record.d[i]));
    list.append(item);
  });
  if (record.o) list.append(make("li", "", record.k ? "a person decided to keep it" : "a person decided to drop it"));
  const found = list.childElementCount ? [list] : [];
  if (index !== null && Argue.totals) {
    const now = Argue.recount.kept[index] ? "kept" : `dropped: ${codesOf(Argue.recount.against(index)).map((code) => sentences.get(code)).join("; ")}`;
    found.push(make("p", "note now-line", `With the thresholds and votes as they are on this page: ${now}.`));
  }
  if (record.q && record.q.length) found.push(make("p", "note", `Not measured: ${record.q.map((name) => name.replaceAll("_", " ")).join(", ")}.`));
  return found;
}

// The facts beyond their limits, and the others.
function facts(record) {
  const [beyond, within] = [make("dl", "facts beyond"), make("dl", "facts")];
  const add = (name, text, value, unit, out) => {
    const row = make("div", out ? "fact out" : "fact");
    const label = make("dt", "", name);
    label.title = text;
    const value_ = make("dd", "", value === null ? "not measured" : value === true ? "yes" : value === false ? "no" : number(value));
    if (value !== null && unit) value_.append(make("small", "", unit));
    row.append(label, value_);
    (out ? beyond : within).append(row);
  };
  const limits = new Map(CSG.summary.thresholds.map((check) => [check.measure, check]));
  CSG.summary.fields.forEach(([measure, name, unit, text], i) => {
    const value = record.m[i];
    const check = limits.get(measure);
    const limit = check ? limitOf(check) : null;
    const out = typeof value === "number" && limit !== null && (check.side === "min" ? value < limit : value > limit);
    const note = limit === null ? unit : `${unit} (${check.side === "min" ? "≥" : "≤"} ${number(limit)})`;
    add(name, text, value === undefined ? null : value, note, out);
  });
  if (record.b) add("crop box", "x1, y1, x2, y2, half open", record.b.join(", "), "px");
  return [beyond, within];
}

function limitOf(check) {
  return Argue.recount ? Argue.recount.limits.get(check) : check.limit;
}
