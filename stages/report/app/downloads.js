// Table 1, figure 2 and the charts as files: SVG as the page shows them, CSV of the numbers behind them.

function downloads() {
  document.querySelectorAll("[data-save]").forEach((node) => {
    const bar = make("p", "save");
    bar.append("Save as ",
      button("SVG", () => Argue.drawn().then(() => save(`${node.dataset.save}.svg`, "image/svg+xml", asSvg(node))), `${node.dataset.save} as SVG`), " ",
      button("CSV", () => Argue.drawn().then(() => save(`${node.dataset.save}.csv`, "text/csv", asCsv(node))), `${node.dataset.save} as CSV`));
    node.after(bar);
  });
}

function save(name, type, text) {
  const link = make("a");
  link.href = URL.createObjectURL(new Blob([text], { type: `${type};charset=utf-8` }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

// Rows of a table, with the figure's name before them where there are several; of a chart, its bars.
function asCsv(node) {
  const rows = [];
  node.querySelectorAll("figure.chart").forEach((chart) => {
    const name = chart.dataset.measure;
    if (!rows.length) rows.push(["measure", "values", "kept", "dropped"]);
    chart.querySelectorAll("g[data-range]").forEach((bar) => {
      rows.push([name, bar.dataset.range, bar.dataset.kept, bar.dataset.dropped]);
    });
  });
  node.querySelectorAll("table").forEach((table) => {
    const figure = table.closest("figure");
    const first = figure ? [figure.querySelector("figcaption").textContent.trim()] : [];
    table.querySelectorAll("tr").forEach((row) => {
      rows.push([...first, ...[...row.cells].map((one) => one.dataset.value ?? one.textContent.trim())]);
    });
  });
  return `${rows.map((row) => row.map(cell).join(",")).join("\r\n")}\r\n`;
}

const NS = "http://www.w3.org/2000/svg";

function part(name, attributes, text) {
  const node = document.createElementNS(NS, name);
  Object.entries(attributes).forEach(([key, value]) => node.setAttribute(key, value));
  if (text !== undefined) node.textContent = text;
  return node;
}

// What a part of the page looks like: its words where they stand, its drawings as they are coloured.
function asSvg(node) {
  const page = node.getBoundingClientRect();
  const [wide, tall] = [node.scrollWidth, node.scrollHeight];
  const root = part("svg", { xmlns: NS, width: wide, height: tall, viewBox: `0 0 ${wide} ${tall}` });
  root.append(part("rect", { width: wide, height: tall, fill: getComputedStyle(document.body).backgroundColor }));
  const at = (box) => ({ x: (box.left - page.left).toFixed(2), y: (box.top - page.top).toFixed(2) });
  node.querySelectorAll("svg").forEach((drawing) => {
    const box = drawing.getBoundingClientRect();
    if (!box.width) return;
    const copy = part("svg", {
      ...at(box), width: box.width, height: box.height, viewBox: drawing.getAttribute("viewBox"), preserveAspectRatio: drawing.getAttribute("preserveAspectRatio") || "xMidYMid",
    });
    drawing.querySelectorAll("rect, line").forEach((shape) => copy.append(coloured(shape)));
    root.append(copy);
  });
  words(node).forEach(({ text, box, style }) => {
    const place = at(box);
    root.append(part("text", {
      x: place.x, y: (Number(place.y) + box.height * 0.78).toFixed(2), fill: style.color, "font-size": style.fontSize, "font-weight": style.fontWeight, "font-family": "sans-serif",
      textLength: box.width.toFixed(2), lengthAdjust: "spacingAndGlyphs",
    }, text));
  });
  return new XMLSerializer().serializeToString(root);
}

function coloured(shape) {
  const style = getComputedStyle(shape);
  const names = shape.tagName === "line" ? ["x1", "x2", "y1", "y2"] : ["x", "y", "width", "height"];
  const kept = Object.fromEntries(names.filter((name) => shape.hasAttribute(name)).map((name) => [name, shape.getAttribute(name)]));
  return part(shape.tagName, shape.tagName === "line" ? { ...kept, stroke: style.stroke, "stroke-dasharray": "3 2" } : { ...kept, fill: style.fill });
}

// The visible words of a part of the page, those of one line together.
function words(node) {
  const found = [];
  const walker = document.createTreeWalker(node, NodeFilter.SHOW_TEXT);
  const range = document.createRange();
  while (walker.nextNode()) {
    const text = walker.currentNode;
    if (!text.data.trim() || text.parentElement.closest("svg, button, input, select, [hidden]")) continue;
    const style = getComputedStyle(text.parentElement);
    let line = null;
    for (const word of text.data.matchAll(/\S+/g)) {
      range.setStart(text, word.index);
      range.setEnd(text, word.index + word[0].length);
      const box = range.getBoundingClientRect();
      if (!box.width) continue;
      if (line && Math.abs(line.box.top - box.top) < 2) {
        line.text += ` ${word[0]}`;
        line.box = new DOMRect(line.box.left, line.box.top, box.right - line.box.left, line.box.height);
      } else {
        line = { text: word[0], box, style };
        found.push(line);
      }
    }
  }
  return found;
}
