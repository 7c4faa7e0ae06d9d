// Which hyperparameters were in force, and how often each value was chosen.

const ALL_SEEDS = -1,
  MULTIPLES = 0,
  VALUES = 1;
const OCTAVES = [0.01, 0.03, 0.1, 0.25, 0.35, 0.5, 0.7, 1, 1.4, 2, 2.8, 4, 10, 30, 100];
const scheduleTask = () => data.tasks[chosen("schedules-task")];
const scheduleMethod = () => data.methods[chosen("schedules-method")];
const schedulesOf = (task, method) =>
  data.schedules.filter((s) => data.runs[s.run].task === task && data.runs[s.run].method === method);

function shownSchedules() {
  const found = schedulesOf(scheduleTask(), scheduleMethod()),
    seed = byId("schedules-seed").value;
  return seed === String(ALL_SEEDS) ? found : found.filter((s) => String(s.run) === seed);
}

const parametersOf = (schedules) => distinct(schedules.flatMap((s) => s.parameters.map((p) => p.name)));
const parameterOf = (schedule, name) => schedule.parameters.find((p) => p.name === name);
/** The quantiles to show: multiples of the task's own value, or values. */
const quantilesOf = (parameter) =>
  chosen("schedules-unit") === MULTIPLES && parameter.multiples ? parameter.multiples : parameter.values;
const isMultiple = (parameter) => quantilesOf(parameter) === parameter.multiples;
/** A value per window as steps between the windows' edges. */
const stepped = (values) => [...values, values.at(-1)];

/** Ticks of a logarithmic axis: multiples, or the values that can be chosen, if they are few. */
function logTicks(parameter) {
  if (isMultiple(parameter)) return { tickvals: OCTAVES, ticktext: OCTAVES.map((value) => `${value}×`) };
  const levels = parameter.shares && !parameter.relative ? parameter.levels : [];
  return levels.length > 1 && levels.length < 9 ? { tickvals: levels, ticktext: levels.map(show) } : { dtick: "D2" };
}

function drawSchedules() {
  const schedules = shownSchedules(),
    names = parametersOf(schedules);
  if (!names.length) {
    nothing("schedules-plot", "No run of these has recorded its choices.");
    return nothing("choices-plot", "No run of these has recorded its choices.");
  }
  ready("schedules-plot");
  const { color } = style(scheduleMethod()),
    traces = [];
  names.forEach((name, i) => {
    const line = { ...place(i), type: "scatter", mode: "lines" };
    schedules
      .filter((s) => parameterOf(s, name))
      .forEach((s, order) => {
        const p = parameterOf(s, name),
          q = quantilesOf(p),
          seed = `seed ${data.runs[s.run].seed}`;
        if (schedules.length === 1) {
          const edge = { ...line, x: s.edges, line: { width: 0, shape: "hv" }, hoverinfo: "skip" };
          traces.push(
            { ...edge, y: stepped(q.low) },
            { ...edge, y: stepped(q.high), fill: "tonexty", fillcolor: faded(color, 0.22) },
          );
        }
        traces.push({
          ...line,
          x: s.edges,
          y: stepped(q.mean),
          line: {
            color: schedules.length === 1 ? color : faded(color, 0.55),
            width: schedules.length === 1 ? 2 : 1.2,
            shape: "hv",
          },
          name: `mean, ${seed}`,
          meta: "mean",
          hoverinfo: schedules.length > 20 ? "skip" : "y+name",
        });
        if (!order)
          traces.push({
            ...line,
            x: s.edges,
            y: stepped(q.own),
            line: { color: ink("ink"), width: 1.3, dash: "dash", shape: "hv" },
            name: "the task's own",
            meta: "own",
            hoverinfo: "y+name",
          });
      });
  });
  const heading = (name) => {
    const p = schedules.map((s) => parameterOf(s, name)).find((found) => found),
      unit = p.unit ? ` (${p.unit})` : "";
    return isMultiple(p) ? `${name}, × own (${show(p.start)} to ${show(p.end)})` : `${name}${unit}`;
  };
  const layout = panels(names.map(heading), narrow() || names.length < 2 ? 1 : 2, 190, (i) => {
    const p = schedules.map((s) => parameterOf(s, names[i])).find((found) => found);
    return {
      x: stepsAxis(),
      y: p.log
        ? axis({ type: "log", tickformat: "~g", ...logTicks(p) })
        : axis({ nticks: 5, tickformat: "~g", ticksuffix: isMultiple(p) ? "×" : "" }),
    };
  });
  draw("schedules-plot", traces, { ...layout, hovermode: "closest" });
  const windows = Math.max(...schedules.map((s) => s.edges.length - 1));
  byId("schedules-about").textContent =
    `Values in force, in ${plural(windows, "window")} of time. ` +
    (schedules.length === 1
      ? "The line is the mean (geometric, as fits multiples), the band 10 to 90 % of the updates."
      : `A line per seed: its mean (geometric, as fits multiples).`) +
    " Dashed: the task's own value; × own: multiples of it.";
  drawShares(schedules, names);
}

/** The shares of each level of a hyperparameter: the mean over runs, window by window of their progress. */
function sharesOf(schedules, name) {
  const with_ = schedules.filter((s) => parameterOf(s, name)?.shares);
  if (!with_.length) return null;
  const first = with_[0],
    windows = first.edges.length - 1,
    p = parameterOf(first, name);
  const levels = distinct(with_.flatMap((s) => parameterOf(s, name).levels)).sort((x, y) => x - y);
  const at = (s, level, window) => {
    const parameter = parameterOf(s, name),
      row = parameter.shares[parameter.levels.indexOf(level)];
    return row ? row[Math.floor((window * row.length) / windows)] : 0;
  };
  const mean = (level, window) => {
    // A window without a choice that could have an effect has no shares.
    const known = with_.map((s) => at(s, level, window)).filter((share) => share !== null);
    return known.length ? known.reduce((sum, share) => sum + share, 0) / known.length : null;
  };
  const own = parameterOf(first, name).own_level;
  const shares = levels.map((level) => Array.from({ length: windows }, (_, window) => mean(level, window)));
  return {
    name,
    levels,
    shares,
    edges: first.edges,
    own,
    relative: p.relative,
    unit: p.unit,
    moves: p.moves,
  };
}

const levelName = (found, level) =>
  (found.relative ? `${show(level)}×` : show(level)) +
  (level === found.own ? (found.moves ? " (own, moves)" : " (own)") : "");

/** A colour of the scale Cividis, ordered from dark to light, also for colour-blind readers. */
function shade(place, of) {
  const stops = ["#00224e", "#35456c", "#666970", "#948e77", "#c8b866", "#fee838"];
  if (of < 2) return stops[2];
  const at = (place / (of - 1)) * (stops.length - 1),
    from = Math.min(Math.floor(at), stops.length - 2);
  const mix = [1, 3, 5].map((i) => {
    const [start, end] = [stops[from], stops[from + 1]].map((stop) => parseInt(stop.slice(i, i + 2), 16));
    return Math.round(start + (end - start) * (at - from));
  });
  return `rgb(${mix})`;
}

function drawShares(schedules, names) {
  const found = names.map((name) => sharesOf(schedules, name)).filter((shares) => shares),
    traces = [];
  byId("choices-about").textContent =
    schedules.length > 1
      ? `The mean over ${plural(schedules.length, "run")}, by their progress.`
      : "The share of the updates in each window of time.";
  if (!found.length)
    return nothing("choices-plot", "The values were chosen from a range: see their quantiles above.");
  ready("choices-plot");
  found.forEach((part, i) =>
    part.levels.forEach((level, row) =>
      traces.push({
        ...place(i),
        type: "scatter",
        mode: "lines",
        stackgroup: `shares-${i}`,
        x: part.edges,
        y: stepped(part.shares[row]),
        line: { width: 0, shape: "hv" },
        fillcolor: shade(row, part.levels.length),
        name: levelName(part, level),
        legend: i ? `legend${i + 1}` : "legend",
        hovertemplate: "%{y:.0%}",
        meta: "share",
      }),
    ),
  );
  const columns = narrow() || found.length < 2 ? 1 : 2;
  // The legends stand between title and plot.
  const lines = Math.ceil(
      Math.max(...found.map((part) => part.levels.length)) / (narrow() ? 2 : 10 / columns),
    ),
    legend = 5 + 19 * lines;
  const layout = panels(
    found.map((part) => part.name + (part.unit ? ` (${part.unit})` : "")),
    columns,
    190,
    () => ({
      x: stepsAxis(),
      y: axis({ range: [0, 1], tickformat: ".0%", nticks: 5, title: axisTitle("share of the updates") }),
    }),
    legend,
  );
  found.forEach((part, i) => {
    const number = i ? String(i + 1) : "";
    layout[`legend${number}`] = {
      orientation: "h",
      x: layout[`xaxis${number}`].domain[0],
      y: layout[`yaxis${number}`].domain[1],
      xanchor: "left",
      yanchor: "bottom",
      font: { size: 12 },
      bgcolor: "rgba(0,0,0,0)",
      traceorder: "normal",
      itemclick: false,
      itemdoubleclick: false,
    };
  });
  draw("choices-plot", traces, { ...layout, showlegend: true, hovermode: "x unified" });
}

function chooseSchedules() {
  const task = scheduleTask();
  fill(
    "schedules-method",
    data.methods.map((name, i) => [i, name]).filter(([, name]) => schedulesOf(task, name).length),
  );
  const found = schedulesOf(task, scheduleMethod());
  const seeds = found.map((s) => [
    s.run,
    `${data.runs[s.run].seed}${data.runs[s.run].status === "finished" ? "" : ` (${data.runs[s.run].status})`}`,
  ]);
  fill(
    "schedules-seed",
    found.length > 1 ? [[ALL_SEEDS, `all ${found.length}`], ...seeds] : seeds,
    drawSchedules,
  );
  drawSchedules();
}

fill(
  "schedules-task",
  data.tasks
    .map((name, i) => [i, name])
    .filter(([, name]) => data.schedules.some((s) => data.runs[s.run].task === name)),
  chooseSchedules,
);
byId("schedules-method").onchange = chooseSchedules;
fill(
  "schedules-unit",
  [
    [MULTIPLES, "multiples, where the task's own value changes"],
    [VALUES, "values"],
  ],
  drawSchedules,
);
offer("schedules-csv", "schedules.csv", () => [
  [
    "task",
    "method",
    "seed",
    "hyperparameter",
    "from env step",
    "to env step",
    "unit",
    "10 %",
    "mean",
    "90 %",
    "the task's own",
  ],
  shownSchedules().flatMap((s) =>
    s.parameters.flatMap((p) =>
      quantilesOf(p).mean.map((mean, w) => {
        const run = data.runs[s.run],
          q = quantilesOf(p);
        return [
          run.task,
          run.method,
          run.seed,
          p.name,
          s.edges[w],
          s.edges[w + 1],
          isMultiple(p) ? "multiple" : "value",
          q.low[w],
          mean,
          q.high[w],
          q.own[w],
        ];
      }),
    ),
  ),
]);
offer("choices-csv", "choices.csv", () => [
  ["hyperparameter", "value", "unit", "from env step", "to env step", "share of the updates"],
  parametersOf(shownSchedules())
    .map((name) => sharesOf(shownSchedules(), name))
    .filter((found) => found)
    .flatMap((found) =>
      found.levels.flatMap((level, row) =>
        found.shares[row].map((share, w) => [
          found.name,
          level,
          found.relative ? "multiple" : "value",
          found.edges[w],
          found.edges[w + 1],
          share,
        ]),
      ),
    ),
]);
redraws.push(drawSchedules);
if (data.schedules.length) chooseSchedules();
else hide("schedules", true);
