"use strict";
// Comfort alone: without it the page says the same, in the same order.

// Tables are sorted by a click on a head: up, down, and as they were. What is empty, and means and totals, stay last.
const words = new Intl.Collator("en", { numeric: true });
function sortKey(cell, numeric) {
  const text = cell.textContent.trim();
  if (!numeric) return text || null;
  const first = text.match(/-?(?:\d+(?:\.\d+)?|∞)/);
  return first ? Number(first[0].replace("∞", "Infinity")) : null;
}
function compare(a, b) {
  return typeof a === "number" ? (a > b) - (a < b) : words.compare(a, b);
}
function sortTable(table, rows, column, direction) {
  const numeric = table.tHead.rows[0].cells[column].classList.contains("n");
  const keyed = rows.map((row) => [row, sortKey(row.cells[column], numeric), row.classList.contains("mean")]);
  if (direction !== 0) {
    keyed.sort(([, a, aMean], [, b, bMean]) =>
      aMean - bMean || (a === null) - (b === null) || (a === null ? 0 : direction * compare(a, b)));
  }
  table.tBodies[0].append(...keyed.map(([row]) => row));
}
for (const table of document.querySelectorAll("table")) {
  const rows = [...table.tBodies[0].rows], heads = [...table.tHead.rows[0].cells];
  if (rows.length < 2) continue;
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const next = { ascending: "descending", descending: null }[head.ariaSort];
      const order = next === undefined ? "ascending" : next;
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      if (order) head.setAttribute("aria-sort", order);
      sortTable(table, rows, column, { ascending: 1, descending: -1 }[order] ?? 0);
    });
  });
  if (rows.length > 20) addFilter(table, rows);
}

// Of long tables only the rows that have all of some words can be shown.
function addFilter(table, rows) {
  const box = document.createElement("p"), label = document.createElement("label");
  const input = document.createElement("input"), shown = document.createElement("span");
  box.className = "filter";
  input.type = "search";
  shown.setAttribute("role", "status");
  label.append("Filter rows: ", input);
  box.append(label, shown);
  table.parentNode.before(box);
  const texts = rows.map((row) => [...row.cells].map((cell) => cell.textContent).join(" ").toLowerCase());
  input.addEventListener("input", () => {
    const wanted = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    rows.forEach((row, i) => { row.hidden = !wanted.every((word) => texts[i].includes(word)); });
    shown.textContent = wanted.length ? `${rows.filter((row) => !row.hidden).length} of ${rows.length} rows` : "";
  });
}

// Marks of charts say their numbers, at once and from some pixels away; titles alone would have to be hit, and waited for.
const tip = document.createElement("div");
tip.className = "tip";
tip.hidden = true;
document.body.append(tip);
let pointed = null;
function point(mark, event) {
  pointed?.classList.remove("pointed");
  pointed = mark;
  tip.hidden = !mark;
  if (!mark) return;
  mark.classList.add("pointed");
  tip.textContent = mark.dataset.says;
  const left = Math.min(event.clientX + 12, document.documentElement.clientWidth - tip.offsetWidth - 4);
  const below = event.clientY + 16, fits = below + tip.offsetHeight < window.innerHeight;
  tip.style.left = `${Math.max(left, 4)}px`;
  tip.style.top = `${fits ? below : event.clientY - tip.offsetHeight - 12}px`;
}
function distance(mark, event) {
  const box = mark.getBoundingClientRect();
  const x = Math.max(box.left - event.clientX, 0, event.clientX - box.right);
  const y = Math.max(box.top - event.clientY, 0, event.clientY - box.bottom);
  return Math.hypot(x, y);
}
for (const chart of document.querySelectorAll("figure svg")) {
  const marks = [...chart.querySelectorAll("title")].map((title) => {
    const mark = title.parentNode;
    mark.dataset.says = title.textContent;
    title.remove();
    return mark;
  });
  const nearest = (event) => {
    let found = null, reach = 12;
    for (const mark of marks) {
      const far = distance(mark, event);
      if (far < reach) [found, reach] = [mark, far];
    }
    point(found, event);
  };
  if (!marks.length) continue;
  chart.addEventListener("pointermove", nearest);
  chart.addEventListener("pointerdown", nearest);
  chart.addEventListener("pointerleave", () => point(null));
}
document.addEventListener("keydown", (event) => { if (event.key === "Escape") point(null); });

// Paper has everything.
window.addEventListener("beforeprint", () => {
  document.querySelectorAll("details").forEach((part) => { part.open = true; });
});
