"use strict";
// What all sections share. Names from folders become text nodes or escaped labels, never markup.

const data = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);
// Okabe and Ito's colours, distinct for colour-blind readers, without the two that a ground hides; and lighter ones.
const COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c7ae6"];
const ON_DARK = ["#4ba6e3", "#f58a45", "#35c79b", "#e39bc4", "#f2bd4b", "#9bd4f5", "#b3a5f5"];
const dark = window.matchMedia("(prefers-color-scheme: dark)");
const DASHES = ["solid", "dash", "dot", "dashdot"];
const STROKES = { solid: "", dash: "7 4", dot: "2 3", dashdot: "7 3 2 3" };
const narrow = () => window.innerWidth < 700;
const touch = () => window.matchMedia("(pointer: coarse)").matches;

// ---- the page ----

function element(tag, properties = {}, ...children) {
  const node = Object.assign(document.createElement(tag), properties);
  node.append(...children);
  return node;
}

/** Fills a select with [value, text] pairs, and calls `changed` when another is chosen. */
function fill(id, options, changed = null) {
  const select = byId(id),
    before = select.value;
  select.replaceChildren(
    ...options.map(([value, text]) => element("option", { value: String(value) }, text)),
  );
  if (options.some(([value]) => String(value) === before)) select.value = before;
  if (changed) select.onchange = changed;
  return select;
}

const chosen = (id) => Number(byId(id).value);

/**
 * Writes a table. A column: {name, cell(row), text?(row), number?, best?(row), only?}. `cell` is what the CSV
 * holds, `text` what is shown in its place; `only` is "screen" or "file" for a column that the other lacks.
 */
function table(id, all, rows, mark = () => "") {
  const columns = all.filter((column) => column.only !== "file");
  const kind = (column) => (column.number ? "number" : "");
  const head = columns.map((column) => element("th", { scope: "col", className: kind(column) }, column.name));
  const body = rows.map((row) =>
    element(
      "tr",
      { className: mark(row) },
      ...columns.map((column) => {
        const best = column.best && column.best(row) ? " best" : "";
        const text = column.text ? column.text(row) : show(column.cell(row));
        return element("td", { className: kind(column) + best }, text);
      }),
    ),
  );
  byId(id).replaceChildren(element("thead", {}, element("tr", {}, ...head)), element("tbody", {}, ...body));
}

function hide(id, hidden) {
  byId(id).hidden = hidden;
}

// ---- numbers and texts ----

/** A number to read; a dash if there is none. */
function show(value) {
  if (value === null || value === undefined) return "–";
  if (typeof value !== "number") return String(value);
  const size = Math.abs(value);
  if (size && size < 0.001) return value.toExponential(2);
  const digits =
    size >= 1000 || Number.isInteger(value) ? { maximumFractionDigits: 0 } : { maximumSignificantDigits: 4 };
  return value.toLocaleString("en", digits);
}

function interval(low, high) {
  return low === null || low === undefined ? "–" : `${show(low)} to ${show(high)}`;
}

function duration(seconds) {
  if (seconds === null) return "–";
  if (seconds < 60) return `${seconds.toFixed(seconds < 10 ? 1 : 0)} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 60 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

const plural = (count, noun) => `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;
/** A text that Plotly shows as it is: it would take tags for markup. */
const plain = (text) =>
  String(text).replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll("%{", "%\u200b{");
/** A method's name, with the budget if its task has runs of several. */
function label(group) {
  const several =
    new Set(data.groups.filter((other) => other.task === group.task).map((other) => other.budget)).size > 1;
  return several ? `${group.method}, ${show(group.budget)} steps` : group.method;
}
const distinct = (values) => [...new Set(values)];

// ---- downloads ----

function csv(header, rows) {
  const cell = (value) => {
    const text = value === null || value === undefined ? "" : String(value);
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  return [header, ...rows].map((row) => row.map(cell).join(",") + "\r\n").join("");
}

/** Makes a button offer a file; `content()` returns its header and rows. */
function offer(id, name, content) {
  byId(id).onclick = () => {
    const url = URL.createObjectURL(new Blob([csv(...content())], { type: "text/csv" }));
    element("a", { href: url, download: name }).click();
    setTimeout(() => URL.revokeObjectURL(url), 10_000);
  };
}

function tableContent(all, rows) {
  const columns = all.filter((column) => column.only !== "screen");
  return [columns.map((column) => column.name), rows.map((row) => columns.map((column) => column.cell(row)))];
}

// ---- plots ----

function style(method) {
  const index = data.methods.indexOf(method);
  return {
    color: (dark.matches ? ON_DARK : COLOURS)[index % COLOURS.length],
    dash: DASHES[Math.floor(index / COLOURS.length) % DASHES.length],
  };
}

function faded(colour, opacity) {
  const [red, green, blue] = [1, 3, 5].map((place) => parseInt(colour.slice(place, place + 2), 16));
  return `rgba(${red},${green},${blue},${opacity})`;
}

const ink = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
const axisTitle = (text) => ({ text: plain(text), standoff: 8, font: { size: 13 } });
const axis = (extra = {}) => ({
  gridcolor: ink("line"),
  linecolor: ink("line"),
  zeroline: false,
  automargin: true,
  ...extra,
});
const stepsAxis = () => axis({ title: axisTitle("environment steps"), tickformat: "~s", nticks: 6 });

/**
 * Small plots in a grid, each with a title above it.
 * `axes(i)` gives the i-th plot's {x, y}; `height` is that of one plot, `under` the room below its title.
 */
function panels(titles, columns, height, axes, under = 0) {
  const rows = Math.ceil(titles.length / columns),
    gap = 84 + under,
    across = columns > 1 ? 0.09 : 0;
  const whole = rows * height + (rows - 1) * gap,
    margin = { l: 64, r: 16, t: 40 + under, b: 60 };
  const layout = { annotations: [], height: whole + margin.t + margin.b, margin };
  const width = (1 - across * (columns - 1)) / columns;
  titles.forEach((title, i) => {
    const number = i ? String(i + 1) : "",
      row = Math.floor(i / columns),
      left = (i % columns) * (width + across);
    const top = 1 - (row * (height + gap)) / whole,
      { x, y } = axes(i);
    layout[`xaxis${number}`] = { ...x, domain: [left, left + width], anchor: `y${number}` };
    layout[`yaxis${number}`] = {
      ...y,
      domain: [Math.max(top - height / whole, 0), top],
      anchor: `x${number}`,
    };
    layout.annotations.push({
      text: `<b>${plain(title)}</b>`,
      xref: "paper",
      yref: "paper",
      x: left,
      y: top,
      xanchor: "left",
      yanchor: "bottom",
      yshift: 6 + under,
      showarrow: false,
    });
  });
  return layout;
}

const place = (i) => (i ? { xaxis: `x${i + 1}`, yaxis: `y${i + 1}` } : { xaxis: "x", yaxis: "y" });

function draw(id, traces, layout) {
  const shared = {
    font: { family: getComputedStyle(document.body).fontFamily, size: 13, color: ink("ink") },
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    hoverlabel: {
      bgcolor: ink("soft"),
      bordercolor: ink("line"),
      font: { color: ink("ink") },
      namelength: -1,
    },
    showlegend: false,
    // On a touch screen a finger scrolls the page.
    dragmode: touch() ? false : "zoom",
    modebar: { bgcolor: "rgba(0,0,0,0)", color: ink("quiet"), activecolor: ink("accent") },
  };
  Plotly.react(
    byId(id),
    traces,
    { ...shared, ...layout },
    {
      responsive: true,
      displaylogo: false,
      displayModeBar: touch() || narrow() ? false : "hover",
      modeBarButtons: [["toImage", "zoom2d", "pan2d", "resetScale2d"]],
    },
  );
}

/** Removes a plot and says why there is none. */
function nothing(id, text) {
  Plotly.purge(byId(id));
  byId(id).replaceChildren(element("p", { className: "quiet" }, text));
}

/** Prepares the place for a plot after `nothing`. */
function ready(id) {
  if (byId(id).querySelector("p.quiet")) byId(id).replaceChildren();
}

// What is drawn anew if the colours or the width change.
const redraws = [];
dark.addEventListener("change", () => redraws.forEach((redraw) => redraw()));
window
  .matchMedia("(max-width: 699px)")
  .addEventListener("change", () => redraws.forEach((redraw) => redraw()));
