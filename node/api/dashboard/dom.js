// How facts become elements. Whatever came from the mesh ends in a text node or
// in the value of an attribute that runs nothing; there is no other way in here.

/** el makes an element; its children are elements or text. */
export function el(tag, attributes = {}, ...children) {
  const e = document.createElement(tag);
  for (const [k, v] of Object.entries(attributes)) if (v !== undefined && v !== false) e.setAttribute(k, v);
  e.append(...children.filter(given).map((c) => (c instanceof Node ? c : document.createTextNode(String(c)))));
  return e;
}
export const by = (id) => document.getElementById(id);

/** say replaces an element's text, if it differs: readers are not disturbed for nothing. */
export function say(e, text) { if (e.textContent !== text) e.textContent = text; }

/** fill gives a place its content unless it has the very same already. A content is
 * text, or {text, href, title, kind, time, part}, or a list of contents. */
export function fill(place, content) {
  const sign = JSON.stringify(content);
  if (place.sign === sign) return;
  place.sign = sign;
  place.replaceChildren(...[content].flat().filter(given).map(build));
}
const given = (c) => c !== undefined && c !== null && c !== false && c !== "";

function build(c) {
  if (typeof c !== "object") return document.createTextNode(String(c));
  if (c.time !== undefined) return el("time", { datetime: c.time, title: stamp(c.time), "data-ago": "" }, ago(c.time));
  if (c.part !== undefined) return el("progress", { value: c.part, max: 1, "aria-label": c.text || `${Math.round(c.part * 100)} %` });
  const attributes = { title: c.title, class: c.kind && "state " + c.kind };
  if (c.href) return el("a", { ...attributes, href: c.href, download: c.download, "data-save": c.save }, c.text);
  return el("span", attributes, c.text);
}

/** facts shows pairs of a name and a content; those without content are left out. */
export function facts(dl, pairs) {
  const kept = pairs.filter(([, c]) => given(c));
  while (dl.children.length > 2 * kept.length) dl.lastChild.remove();
  kept.forEach(([name, content], i) => {
    if (!dl.children[2 * i]) dl.append(el("dt"), el("dd"));
    say(dl.children[2 * i], name);
    fill(dl.children[2 * i + 1], content);
  });
}

/** Table shows rows by pages. A column is {name, cell(row), sort(row), mark}. Rows keep
 * their elements while their key stays, so focus and selection survive a refresh. */
export class Table {
  constructor(place, { label, columns, key, size = 50, search, empty = "None." }) {
    Object.assign(this, { columns, key, size, search, empty, rows: [], page: 0, order: null, back: false, shown: new Map() });
    this.heads = columns.map((c) => el("th", { scope: "col", role: "columnheader" }, c.sort ? this.sorter(c) : c.name));
    this.body = el("tbody", { role: "rowgroup" });
    this.none = el("p", { class: "quiet", hidden: "" });
    const table = this.table = el("table", { role: "table" }, el("caption", {}, label),
      el("thead", { role: "rowgroup" }, el("tr", { role: "row" }, ...this.heads)), this.body);
    if (search) place.append(this.filter());
    place.append(table, this.none);
    if (size < Infinity) {
      this.where = el("span");
      this.pager = el("p", { class: "pager", hidden: "" }, this.button("Previous", -1), " ", this.where, " ", this.button("Next", 1));
      place.append(this.pager);
    }
  }
  button(text, step) {
    const b = el("button", { type: "button" }, text);
    b.addEventListener("click", () => { this.page += step; this.draw(); });
    return b;
  }
  sorter(column) {
    const b = el("button", { type: "button", class: "sort" }, column.name);
    b.addEventListener("click", () => {
      this.back = this.order === column && !this.back;
      this.order = column;
      this.columns.forEach((c, i) => this.heads[i].setAttribute("aria-sort", c !== column ? "none" : this.back ? "descending" : "ascending"));
      this.draw();
    });
    return b;
  }
  filter() {
    const input = el("input", { type: "search", maxlength: 64, autocomplete: "off", spellcheck: "false" });
    input.addEventListener("input", () => { this.wanted = input.value.trim().toLowerCase(); this.page = 0; this.draw(); });
    const form = el("form", { class: "filter", role: "search" }, el("label", {}, "Filter ", input));
    form.addEventListener("submit", (e) => e.preventDefault());
    return form;
  }
  show(rows) { this.rows = rows; this.draw(); }
  draw() {
    let rows = this.wanted ? this.rows.filter((r) => this.search(r).toLowerCase().includes(this.wanted)) : this.rows;
    if (this.order) {
      const value = this.order.sort, way = this.back ? -1 : 1;
      rows = [...rows].sort((a, b) => { const x = value(a), y = value(b); return x < y ? -way : x > y ? way : 0; });
    }
    const all = rows.length;
    this.page = Math.max(0, Math.min(this.page, Math.ceil(all / this.size) - 1));
    if (this.pager) {
      const from = this.page * this.size;
      rows = rows.slice(from, from + this.size);
      this.pager.hidden = all <= this.size;
      say(this.where, `${from + 1} to ${from + rows.length} of ${all}`);
      this.pager.firstChild.disabled = this.page === 0;
      this.pager.lastChild.disabled = from + rows.length >= all;
    }
    this.none.hidden = all > 0;
    this.table.hidden = all === 0;
    say(this.none, this.wanted ? "None fits the filter." : this.empty);
    const before = this.shown;
    this.shown = new Map(rows.map((r) => [this.key(r), before.get(this.key(r)) || this.row()]));
    for (const [k, tr] of before) if (!this.shown.has(k)) tr.remove();
    let at = this.body.firstChild;
    rows.forEach((r) => {
      const tr = this.shown.get(this.key(r));
      if (tr === at) at = at.nextSibling;
      else this.body.insertBefore(tr, at);
      this.columns.forEach((c, i) => fill(tr.children[i], c.cell(r)));
    });
  }
  row() {
    return el("tr", { role: "row" }, ...this.columns.map((c) => el("td", { role: "cell", "data-name": c.name, class: c.mark })));
  }
}

const units = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];

/** span says how long so many seconds are, in its two largest units. */
export function span(seconds) {
  let rest = Math.max(0, Math.floor(seconds));
  const i = units.findIndex(([n]) => rest >= n || n === 1);
  const [n, unit] = units[i];
  const whole = Math.floor(rest / n);
  rest -= whole * n;
  const next = units[i + 1] && Math.floor(rest / units[i + 1][0]);
  return `${whole} ${unit}` + (next ? ` ${next} ${units[i + 1][1]}` : "");
}

/** ago says how long a moment is past, or what is left until then. */
export function ago(iso) {
  const s = (Date.now() - Date.parse(iso)) / 1e3;
  return s < -1 ? `in ${span(-s)}` : `${span(s)} ago`;
}

/** bytes says a size. */
export function bytes(n) {
  if (n === undefined) return "";
  let i = 0;
  for (; n >= 1024 && i < 4; i++) n /= 1024;
  return `${i && n < 100 ? n.toFixed(1) : Math.round(n)} ${["B", "KiB", "MiB", "GiB", "TiB"][i]}`;
}

/** clock is a moment of today, stamp one of any day; both in the reader's time zone. */
export const clock = (ms) => new Date(ms).toLocaleTimeString("sv-SE");
export const stamp = (iso) => new Date(iso).toLocaleString("sv-SE");

/** short is what of an id people compare: jobs are called by their beginning, peers of
 * one kind of key all begin alike. */
export const short = (id) => (!id ? "" : id.length <= 12 ? id : id.startsWith("12D3Koo") ? "…" + id.slice(-8) : id.slice(0, 10));

setInterval(() => {
  if (document.hidden) return;
  document.querySelectorAll("section:not([hidden]) time[data-ago]").forEach((t) => say(t, ago(t.dateTime)));
}, 1e3);
