// Learning curves: the mean over seeds, with a band.

const ALL_TASKS = -1;
const INTERVAL = 0,
  RANGE = 1,
  NO_BAND = 2;
const shownMethods = new Set(data.methods);

const curveTasks = () =>
  chosen("curves-task") === ALL_TASKS
    ? data.tasks.slice(0, MOST_TOGETHER)
    : [data.tasks[chosen("curves-task")]];
const stepsOf = (task) => data.curves.steps[data.tasks.indexOf(task)];

/** What is drawn of a task and a method: steps, mean, low and high of the band, or nulls without one. */
function curveOf(index) {
  const group = data.groups[index],
    curve = data.curves.groups[chosen("curves-metric")][index];
  const steps = stepsOf(group.task),
    band = chosen("curves-band");
  const without = steps.map(() => null);
  if (!curve) return null;
  let low = without,
    high = without;
  if (band === INTERVAL && curve.low) ({ low, high } = curve);
  if (band === RANGE) ({ lowest: low, highest: high } = curve);
  return { ...group, steps, mean: curve.mean, low, high };
}

const shownCurves = () =>
  data.groups
    .map((group, index) =>
      curveTasks().includes(group.task) && shownMethods.has(group.method) ? curveOf(index) : null,
    )
    .filter((curve) => curve);

function shownSeeds() {
  const curves = data.curves.runs[chosen("curves-metric")],
    tasks = curveTasks();
  return data.runs
    .map((run, index) => ({ ...run, curve: curves[index] }))
    .filter((run) => run.curve && tasks.includes(run.task) && shownMethods.has(run.method));
}

function drawCurves() {
  const tasks = curveTasks(),
    metric = data.curves.metrics[chosen("curves-metric")],
    traces = [];
  const curves = shownCurves();
  // Without an ended run there is no mean, but there are single seeds.
  const seeds = byId("curves-seeds").checked
    ? shownSeeds()
    : shownSeeds().filter(
        (run) =>
          !curves.some(
            (curve) => curve.task === run.task && curve.method === run.method && curve.budget === run.budget,
          ),
      );
  for (const run of seeds) {
    traces.push({
      ...place(tasks.indexOf(run.task)),
      type: "scatter",
      mode: "lines",
      x: stepsOf(run.task),
      y: run.curve,
      line: { color: faded(style(run.method).color, 0.45), width: 1 },
      name: plain(`${run.method}, seed ${run.seed}`),
      meta: "seed",
      hoverinfo: seeds.length > 40 ? "skip" : "y+name",
    });
  }
  for (const curve of curves) {
    const at = place(tasks.indexOf(curve.task)),
      { color, dash } = style(curve.method),
      name = plain(label(curve));
    const edge = {
      ...at,
      type: "scatter",
      mode: "lines",
      x: curve.steps,
      line: { width: 0 },
      hoverinfo: "skip",
      meta: "band",
    };
    if (curve.low.some((value) => value !== null)) {
      traces.push(
        { ...edge, y: curve.low },
        { ...edge, y: curve.high, fill: "tonexty", fillcolor: faded(color, 0.18) },
      );
    }
    traces.push({
      ...at,
      type: "scatter",
      mode: "lines",
      x: curve.steps,
      y: curve.mean,
      line: { color, dash, width: 2.2 },
      name,
      meta: "mean",
      hovertemplate: "%{y:,.5~g}",
    });
  }
  const few = distinct(curves.filter((curve) => curve.ended < data.fewest).map((curve) => curve.method));
  byId("curves-about").textContent =
    `${metric.about} Lines are means over seeds.` +
    (chosen("curves-band") === INTERVAL && few.length
      ? ` No interval for fewer than ${data.fewest} seeds: ${few.join(", ")}.`
      : "");
  if (!traces.length) return nothing("curves-plot", "No curve to show: choose a method.");
  ready("curves-plot");
  const columns = narrow() || tasks.length < 2 ? 1 : 2;
  const layout = panels(tasks, columns, columns === 1 && !narrow() ? 400 : 250, () => ({
    x: stepsAxis(),
    y: axis({ title: axisTitle(metric.unit), nticks: 7, tickformat: ",~g" }),
  }));
  draw("curves-plot", traces, { ...layout, hovermode: "x unified" });
}

function swatch(method) {
  const { color, dash } = style(method),
    space = "http://www.w3.org/2000/svg";
  const picture = document.createElementNS(space, "svg"),
    line = document.createElementNS(space, "line");
  for (const [name, value] of Object.entries({ width: 26, height: 8, "aria-hidden": "true" }))
    picture.setAttribute(name, value);
  for (const [name, value] of Object.entries({
    x1: 0,
    x2: 26,
    y1: 4,
    y2: 4,
    stroke: color,
    "stroke-width": 3,
    "stroke-dasharray": STROKES[dash],
  }))
    line.setAttribute(name, value);
  picture.append(line);
  return picture;
}

function listMethods() {
  byId("curves-methods").replaceChildren(
    ...data.methods.map((method) => {
      const box = element("input", { type: "checkbox", checked: shownMethods.has(method) });
      box.onchange = () => {
        if (box.checked) shownMethods.add(method);
        else shownMethods.delete(method);
        drawCurves();
      };
      return element("label", {}, box, swatch(method), method);
    }),
  );
}

listMethods();
fill(
  "curves-task",
  [
    ...(data.tasks.length > 1
      ? [[ALL_TASKS, data.tasks.length > MOST_TOGETHER ? `first ${MOST_TOGETHER} tasks` : "all tasks"]]
      : []),
    ...data.tasks.map((name, i) => [i, name]),
  ],
  drawCurves,
);
fill(
  "curves-metric",
  data.curves.metrics.map((metric, i) => [i, metric.name]),
  drawCurves,
);
fill(
  "curves-band",
  [
    [INTERVAL, "95 % interval of the mean"],
    [RANGE, "lowest to highest seed"],
    [NO_BAND, "none"],
  ],
  drawCurves,
);
if (!data.groups.some((group) => group.ended >= data.fewest)) byId("curves-band").value = String(RANGE);
byId("curves-seeds").onchange = drawCurves;
offer("curves-csv", "curves.csv", () => [
  ["task", "method", "budget", "env steps", "mean", "low", "high"],
  shownCurves().flatMap((curve) =>
    curve.steps.map((step, i) => [
      curve.task,
      curve.method,
      curve.budget,
      step,
      curve.mean[i],
      curve.low[i],
      curve.high[i],
    ]),
  ),
]);
offer("curves-seeds-csv", "seeds.csv", () => [
  ["task", "method", "seed", "folder", "env steps", data.curves.metrics[chosen("curves-metric")].name],
  shownSeeds().flatMap((run) =>
    run.curve.map((value, i) => [run.task, run.method, run.seed, run.folder, stepsOf(run.task)[i], value]),
  ),
]);
redraws.push(listMethods, drawCurves);
drawCurves();
