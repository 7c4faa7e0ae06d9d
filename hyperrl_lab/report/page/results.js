// What was run, the table of results, the list of runs.

// Tasks that fit into one picture.
const MOST_TOGETHER = 12;
const aboutIntervals = `Intervals are 95 % bootstrap intervals over seeds; fewer than ${data.fewest} seeds have none.`;

function header() {
  const seeds = distinct(data.runs.map((run) => run.seed)).length;
  byId("subtitle").textContent =
    `${plural(data.runs.length, "run")}: ${plural(data.tasks.length, "task")}, ${plural(data.methods.length, "method")}, ` +
    `${plural(seeds, "seed")}. Folder ${data.folder}; written ${data.written} by hyperrl ${data.hyperrl}.`;
  byId("notes").replaceChildren(
    ...data.notes.map((note) => {
      const box = element("div", { className: "note" }, note.text);
      if (note.items.length)
        box.append(element("ul", {}, ...note.items.map((item) => element("li", {}, item))));
      return box;
    }),
  );
}

// ---- task x method ----

const resultScore = () => chosen("results-score");

function best(group, score) {
  const rivals = data.groups.filter(
    (other) =>
      other.task === group.task && other.budget === group.budget && other.scores[score].mean !== null,
  );
  return rivals.length > 1 && rivals.every((other) => other.scores[score].mean <= group.scores[score].mean);
}

function resultColumns() {
  const score = resultScore(),
    of = (group) => group.scores[score];
  return [
    { name: "task", cell: (group) => group.task },
    { name: "method", cell: (group) => group.method },
    { name: "seeds", number: true, cell: (group) => of(group).seeds.length },
    { name: "runs", number: true, cell: (group) => group.runs, only: "file" },
    {
      name: "ended",
      number: true,
      cell: (group) => group.ended,
      text: (group) => `${group.ended} of ${group.runs}`,
    },
    { name: "mean", number: true, cell: (group) => of(group).mean, best: (group) => best(group, score) },
    {
      name: "95 % interval",
      number: true,
      cell: (group) => interval(of(group).low, of(group).high),
      only: "screen",
    },
    { name: "low", cell: (group) => of(group).low, only: "file" },
    { name: "high", cell: (group) => of(group).high, only: "file" },
    { name: "interquartile mean", number: true, cell: (group) => of(group).iqm },
    { name: "median", number: true, cell: (group) => of(group).median },
    { name: "budget", number: true, cell: (group) => group.budget },
    { name: "env steps", number: true, cell: (group) => group.env_steps },
    { name: "extra env steps", number: true, cell: (group) => group.extra_env_steps },
    { name: "seconds", cell: (group) => group.seconds, only: "file" },
    { name: "time", number: true, cell: (group) => duration(group.seconds), only: "screen" },
    { name: "refused updates", number: true, cell: (group) => group.refused },
    { name: "diverged", number: true, cell: (group) => group.diverged },
  ];
}

function drawResults() {
  if (!data.scores.length) {
    hide("results-score", true);
    hide("results-csv", true);
    return nothing("results-plot", "No run to show: none has ended an episode.");
  }
  const score = resultScore(),
    columns = resultColumns();
  byId("results-about").textContent =
    `${data.scores[score].about} Seeds are those that count in the score, bold is the highest mean of a task. Budget in ` +
    `environment steps; time and steps are those of all runs, extra steps what agents spent beside them. ${aboutIntervals}`;
  let task = null;
  table("results-table", columns, data.groups, (group) => {
    const first = task !== null && group.task !== task ? "first" : "";
    task = group.task;
    return first;
  });
  offer("results-csv", "results.csv", () => tableContent(columns, data.groups));
  const tasks = data.tasks.slice(0, MOST_TOGETHER);
  const traces = [];
  let most = 1;
  tasks.forEach((task, i) => {
    const groups = data.groups.filter((group) => group.task === task);
    most = Math.max(most, groups.length);
    // Plotly draws the first category at the bottom.
    groups.reverse().forEach((group) => {
      const name = plain(label(group)),
        { color } = style(group.method),
        of = group.scores[score];
      traces.push({
        ...place(i),
        mode: "markers",
        type: "scatter",
        y: of.values.map(() => name),
        x: of.values,
        text: of.seeds.map((seed) => `seed ${seed}`),
        hovertemplate: "%{text}: %{x:,.5~g}<extra></extra>",
        marker: {
          color: faded(color, 0.45),
          size: 7,
          symbol: "line-ns",
          line: { color: faded(color, 0.6), width: 1.5 },
        },
      });
      traces.push({
        ...place(i),
        mode: "markers",
        type: "scatter",
        y: [name],
        x: [of.mean],
        hovertemplate: "mean %{x:,.5~g}<extra></extra>",
        marker: { color, size: 9 },
        error_x:
          of.low === null
            ? undefined
            : {
                type: "data",
                symmetric: false,
                array: [of.high - of.mean],
                arrayminus: [of.mean - of.low],
                color,
                thickness: 2,
                width: 4,
              },
      });
    });
  });
  const layout = panels(tasks, narrow() || tasks.length < 2 ? 1 : 2, Math.max(26 * most, 60), () => ({
    x: axis({
      title: axisTitle(`${data.scores[score].unit}, ${data.scores[score].name}`),
      nticks: 6,
      tickformat: ",~g",
    }),
    y: axis({ showgrid: false }),
  }));
  draw("results-plot", traces, { ...layout, hovermode: "closest" });
}

// ---- runs and versions ----

function drawRuns() {
  const columns = [
    { name: "folder", cell: (run) => run.folder },
    { name: "task", cell: (run) => run.task },
    { name: "method", cell: (run) => run.method },
    { name: "seed", number: true, cell: (run) => run.seed },
    { name: "status", cell: (run) => run.status },
    { name: "budget", number: true, cell: (run) => run.budget },
    { name: "env steps", number: true, cell: (run) => run.env_steps },
    { name: "extra env steps", number: true, cell: (run) => run.extra_env_steps },
    { name: "episodes", number: true, cell: (run) => run.episodes },
    ...data.scores.map((score, i) => ({ name: score.name, number: true, cell: (run) => run.scores[i] })),
    { name: "refused updates", number: true, cell: (run) => run.refused },
    { name: "seconds", number: true, cell: (run) => run.seconds, text: (run) => duration(run.seconds) },
    { name: "env steps per second", number: true, cell: (run) => run.steps_per_second },
    { name: "environment", cell: (run) => run.id },
    { name: "agent", cell: (run) => run.agent },
    { name: "settings", cell: (run) => run.settings, text: (run) => run.settings || "–" },
    { name: "problem", cell: (run) => run.problem, text: (run) => run.problem || "–" },
  ];
  table("runs-table", columns, data.runs);
  offer("runs-csv", "runs.csv", () => tableContent(columns, data.runs));
  const packages = distinct(data.versions.flatMap((set) => Object.keys(set.packages)));
  table(
    "versions-table",
    [
      { name: "runs", number: true, cell: (set) => set.runs },
      ...packages.map((name) => ({ name, cell: (set) => set.packages[name] ?? null })),
    ],
    data.versions,
  );
}

header();
drawRuns();
fill(
  "results-score",
  data.scores.map((score, i) => [i, score.name]),
  drawResults,
);
redraws.push(drawResults);
drawResults();
