// Details.

let timer = 0;

async function openDetails(place) {
  const box = document.getElementById("details");
  const record = place.kept ? await keptRecord(place.index) : (await CSG.load(place.file))[place.index];
  if (!record) return;
  const count = place.kept ? CSG.summary.kept.count : CSG.files.get(place.file).length;
  clearInterval(timer);
  box.replaceChildren(head(record, place, count), inside(record));
  history.replaceState(null, "", `#${place.kept ? "kept" : place.file}/${place.index}`);
  if (!box.open) box.showModal();
  box.scrollTop = 0;
  box.onkeydown = (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    const target = place.index + (step || 0);
    if (!step || event.target.tagName === "VIDEO" || target < 0 || target >= count) return;
    event.preventDefault();
    openDetails({ ...place, index: target });
  };
}

function head(record, place, count) {
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
  const button = (text, label, act, off) => {
    const node = make("button", "", text);
    node.type = "button";
    node.setAttribute("aria-label", label);
    node.disabled = Boolean(off);
    node.autofocus = label === "close";
    node.addEventListener("click", act);
    tools.append(node);
  };
  button("‹", "previous", () => openDetails({ ...place, index: place.index - 1 }), place.index <= 0);
  button("›", "next", () => openDetails({ ...place, index: place.index + 1 }), place.index >= count - 1);
  button("✕", "close", () => document.getElementById("details").close());
  bar.append(title, tools);
  return bar;
}

function inside(record) {
  const body = make("div", "inside");
  if (record.v || record.l) body.append(moving(record));
  if (record.p) {
    const strip = make("img", "strip");
    strip.alt = "pictures of the clip, in order";
    strip.src = encodeURI(record.p);
    body.append(strip);
  }
  const reasons = make("ul", "why");
  record.r.forEach((code, i) => {
    const item = make("li", "", CSG.summary.reasons[code] || code.replaceAll("_", " "));
    if (record.d && record.d[i]) item.append(make("small", "mono", record.d[i]));
    reasons.append(item);
  });
  if (record.o) reasons.append(make("li", "", record.k ? "a person decided to keep it" : "a person decided to drop it"));
  if (reasons.childElementCount) body.append(reasons);
  if (record.m) body.append(facts(record));
  return body;
}

function facts(record) {
  const list = make("dl", "facts");
  const add = (name, text, value, unit, out) => {
    const row = make("div", out ? "fact out" : "fact");
    const label = make("dt", "", name);
    label.title = text;
    const shown = make("dd", "", value === null ? "not measured" : value === true ? "yes" : value === false ? "no" : number(value));
    if (value !== null && unit) shown.append(make("small", "", unit));
    row.append(label, shown);
    list.append(row);
  };
  CSG.summary.fields.forEach(([name, unit, text, side, limit], i) => {
    const value = record.m[i];
    const out = typeof value === "number" && limit !== null && (side === "min" ? value < limit : value > limit);
    const note = limit === null ? unit : `${unit} (${side === "min" ? "≥" : "≤"} ${number(limit)})`;
    add(name, text, value === undefined ? null : value, note, out);
  });
  if (record.b) add("crop box", "x1, y1, x2, y2, half open", record.b.join(", "), "px");
  return list;
}
