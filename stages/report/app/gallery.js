// The sheets of clips.

const PAGE = 48; // cards on a page of the kept sheet
const STEP = 24; // cards of a group that "more" adds

function card(record, square, open) {
  const node = make("button", "card");
  node.type = "button";
  const frame = make("span", "frame");
  const path = (square && record.l) || record.p;
  if (path) {
    const moving = roll(path, square && Boolean(record.l));
    frame.append(moving);
    let timer = 0;
    if (square && record.l && !calm) {
      node.addEventListener("pointerenter", () => { timer = play(moving); });
      node.addEventListener("pointerleave", () => { clearInterval(timer); moving.show(0); });
    } else {
      frame.addEventListener("pointermove", (event) => moving.show(event.offsetX / frame.clientWidth));
      frame.addEventListener("pointerleave", () => moving.show(0));
    }
  } else {
    frame.append(make("span", "none", "no picture"));
  }
  if (record.n) frame.append(make("span", "time", `${number(record.n)} s`));
  node.append(frame, make("span", "name", record.t));
  const sub = square ? [record.c, clock(record.s)].filter(Boolean).join(" · ") : (record.d || []).filter(Boolean).join("; ");
  node.append(make("span", "sub", sub || record.i));
  node.title = record.i;
  node.addEventListener("click", open);
  return node;
}

// The kept sheet: pages, of which each data file holds several.

async function keptRecord(index) {
  const { size } = CSG.summary.kept;
  return (await CSG.load(`kept-${Math.floor(index / size)}`))[index % size];
}

async function showPage(page) {
  const sheet = document.querySelector("[data-pages]");
  const { count } = CSG.summary.kept;
  const last = Math.min(count, (page + 1) * PAGE);
  const cards = [];
  for (let index = page * PAGE; index < last; index += 1) {
    const record = await keptRecord(index);
    if (record) cards.push(card(record, true, () => openDetails({ kept: true, index })));
  }
  sheet.replaceChildren(...cards);
  pager(page, Math.ceil(count / PAGE));
}

function pager(page, pages) {
  const bar = document.querySelector("[data-pager]");
  bar.replaceChildren();
  if (pages < 2) return;
  const go = (target, text, label) => {
    const button = make("button", "", text);
    button.type = "button";
    if (label) button.setAttribute("aria-label", label);
    button.disabled = target < 0 || target >= pages;
    if (target === page) button.setAttribute("aria-current", "page");
    button.addEventListener("click", async () => {
      await showPage(target);
      document.getElementById("kept").scrollIntoView();
    });
    bar.append(button);
  };
  go(page - 1, "‹", "previous page");
  const near = [...new Set([0, 1, page - 2, page - 1, page, page + 1, page + 2, pages - 2, pages - 1])]
    .filter((n) => n >= 0 && n < pages)
    .sort((a, b) => a - b);
  near.forEach((n, i) => {
    if (i && n - near[i - 1] > 1) bar.append(make("span", "", "…"));
    go(n, (n + 1).toLocaleString("en"));
  });
  go(page + 1, "›", "next page");
}

// A group of dropped ones: filled when it comes near the window, and further on demand.

async function fillGroup(sheet) {
  const records = await CSG.load(sheet.dataset.file);
  const more = make("button", "", "");
  more.type = "button";
  const add = () => {
    const first = sheet.childElementCount;
    records.slice(first, first + STEP).forEach((record, i) => {
      const index = first + i;
      sheet.append(card(record, false, () => openDetails({ kept: false, file: sheet.dataset.file, index })));
    });
    const left = records.length - sheet.childElementCount;
    more.textContent = `Show ${Math.min(left, STEP)} more`;
    more.hidden = left <= 0;
  };
  more.addEventListener("click", add);
  sheet.after(more);
  add();
}
