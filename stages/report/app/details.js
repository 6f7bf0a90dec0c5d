// Details.

async function openDetails(place) {
  const box = document.getElementById("details");
  const record = place.kept ? await keptRecord(place.index) : (await CSG.load(place.file))[place.index];
  if (!record) return;
  const count = place.kept ? CSG.summary.kept.count : CSG.files.get(place.file).length;
  stopPlaying();
  box.replaceChildren(head(record, place, count), inside(record));
  history.replaceState(null, "", `#${place.kept ? "kept" : place.file}/${place.index}`);
  if (!box.open) box.showModal();
  box.scrollTop = 0;
  const film = box.querySelector(".player.large");
  if (film && film.play) film.play();
  box.onkeydown = (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    const target = place.index + (step || 0);
    if (!step || event.target.tagName === "INPUT" || target < 0 || target >= count) return;
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

// What speaks against somebody stands beside the film; what is within its limits comes after.
function inside(record) {
  const body = make("div", "inside");
  const top = make("div", "stagebox");
  const against = make("div", "against");
  const reasons = why(record);
  if (reasons.childElementCount) against.append(reasons);
  const [out, rest] = record.m ? facts(record) : [];
  if (out && out.childElementCount) against.append(out);
  if (record.v || record.p) top.append(player(record, true));
  if (against.childElementCount) top.append(against);
  body.append(top);
  if (record.p) {
    const strip = make("img", "strip");
    strip.alt = "pictures of the clip, in order";
    strip.src = encodeURI(record.p);
    body.append(strip);
  }
  if (rest) body.append(rest);
  return body;
}

function why(record) {
  const reasons = make("ul", "why");
  record.r.forEach((code, i) => {
    const item = make("li", "", CSG.summary.reasons[code] || code.replaceAll("_", " "));
    if (record.d && record.d[i]) item.append(make("small", "mono", record.d[i]));
    reasons.append(item);
  });
  if (record.o) reasons.append(make("li", "", record.k ? "a person decided to keep it" : "a person decided to drop it"));
  if (record.q && record.q.length) {
    const item = make("li", "open-question", "Not measured, so not judged");
    item.append(make("small", "", record.q.map((name) => name.replaceAll("_", " ")).join(", ")));
    reasons.append(item);
  }
  return reasons;
}

// The facts beyond their limits, and the others.
function facts(record) {
  const [beyond, within] = [make("dl", "facts beyond"), make("dl", "facts")];
  const add = (name, text, value, unit, out) => {
    const row = make("div", out ? "fact out" : "fact");
    const label = make("dt", "", name);
    label.title = text;
    const shown = make("dd", "", value === null ? "not measured" : value === true ? "yes" : value === false ? "no" : number(value));
    if (value !== null && unit) shown.append(make("small", "", unit));
    row.append(label, shown);
    (out ? beyond : within).append(row);
  };
  CSG.summary.fields.forEach(([name, unit, text, side, limit], i) => {
    const value = record.m[i];
    const out = typeof value === "number" && limit !== null && (side === "min" ? value < limit : value > limit);
    const note = limit === null ? unit : `${unit} (${side === "min" ? "≥" : "≤"} ${number(limit)})`;
    add(name, text, value === undefined ? null : value, note, out);
  });
  if (record.b) add("crop box", "x1, y1, x2, y2, half open", record.b.join(", "), "px");
  return [beyond, within];
}
