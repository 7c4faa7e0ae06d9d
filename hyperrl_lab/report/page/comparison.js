// Two methods, on all tasks together and on each.

/** The name of a row: its task, with the budget if the task has several. */
function scope(row) {
  if (row.task === null) return "all tasks together";
  return distinct(data.groups.filter((group) => group.task === row.task).map((group) => group.budget))
    .length > 1
    ? `${row.task}, ${show(row.budget)} steps`
    : row.task;
}

/** The comparison of A with B, whichever way round it was computed. */
function compared(a, b, score) {
  const flip = (value) => (value === null ? null : 1 - value),
    minus = (value) => (value === null ? null : -value);
  return data.comparisons
    .filter((row) => row.score === score && ((row.a === a && row.b === b) || (row.a === b && row.b === a)))
    .map((row) =>
      row.a === a
        ? row
        : {
            ...row,
            a,
            b,
            probability: flip(row.probability),
            low: flip(row.high),
            high: flip(row.low),
            difference: minus(row.difference),
            mean_a: row.mean_b,
            mean_b: row.mean_a,
            n_a: row.n_b,
            n_b: row.n_a,
          },
    );
}

function drawComparison() {
  const a = data.methods[chosen("comparison-a")],
    b = data.methods[chosen("comparison-b")],
    score = chosen("comparison-score");
  const rows = compared(a, b, score);
  const columns = [
    { name: "task", cell: (row) => row.task ?? "all tasks together" },
    { name: "budget", number: true, cell: (row) => row.budget },
    {
      name: "P(A > B)",
      number: true,
      cell: (row) => row.probability,
      text: (row) => row.probability.toFixed(2),
    },
    {
      name: "95 % interval",
      number: true,
      cell: (row) => (row.low === null ? "–" : `${row.low.toFixed(2)} to ${row.high.toFixed(2)}`),
      only: "screen",
    },
    { name: "low", cell: (row) => row.low, only: "file" },
    { name: "high", cell: (row) => row.high, only: "file" },
    { name: "mean of A", number: true, cell: (row) => row.mean_a },
    { name: "mean of B", number: true, cell: (row) => row.mean_b },
    { name: "difference of the means", number: true, cell: (row) => row.difference },
    { name: "seeds of A", number: true, cell: (row) => row.n_a },
    { name: "seeds of B", number: true, cell: (row) => row.n_b },
  ];
  byId("comparison-about").textContent = rows.length
    ? `A is ${a}, B is ${b}. P(A > B) is the probability that a run of A scores higher than a run of B on the same task; ` +
      `a tie counts half. All tasks together: the mean over tasks with one budget, of the seeds that have ended on each. ` +
      aboutIntervals
    : "";
  offer("comparison-csv", "comparison.csv", () => tableContent(columns, rows));
  hide("comparison-table", !rows.length);
  if (!rows.length) {
    return nothing(
      "comparison-plot",
      a === b
        ? "Choose two different methods."
        : "There is no task and budget on which runs of both have ended, or there are too many methods to compare these.",
    );
  }
  ready("comparison-plot");
  table("comparison-table", columns, rows);
  const drawn = [...rows].reverse(),
    names = drawn.map((row) => plain(scope(row))),
    { color } = style(a);
  const trace = {
    type: "scatter",
    mode: "markers",
    x: drawn.map((row) => row.probability),
    y: names,
    marker: { color, size: 10, symbol: drawn.map((row) => (row.task === null ? "diamond" : "circle")) },
    error_x: {
      type: "data",
      symmetric: false,
      color,
      thickness: 2,
      width: 5,
      array: drawn.map((row) => (row.high === null ? 0 : row.high - row.probability)),
      arrayminus: drawn.map((row) => (row.low === null ? 0 : row.probability - row.low)),
    },
    hovertemplate: "%{y}: %{x:.3f}<extra></extra>",
  };
  draw("comparison-plot", [trace], {
    height: 110 + (narrow() ? 48 : 34) * drawn.length,
    margin: { l: 20, r: 20, t: 16, b: 60 },
    hovermode: "closest",
    xaxis: axis({
      title: axisTitle(narrow() ? "P(A > B)" : `probability that ${a} scores higher than ${b}`),
      range: [-0.03, 1.03],
      tickvals: [0, 0.25, 0.5, 0.75, 1],
    }),
    yaxis: axis({
      showgrid: false,
      type: "category",
      showticklabels: !narrow(),
      range: [-0.5, drawn.length - 0.4],
    }),
    // Where it is narrow, names stand above their points instead of beside them.
    annotations: narrow()
      ? names.map((text) => ({ text, x: 0, y: text, xanchor: "left", yshift: 18, showarrow: false }))
      : [],
    shapes: [
      {
        type: "line",
        x0: 0.5,
        x1: 0.5,
        y0: 0,
        y1: 1,
        yref: "paper",
        line: { color: ink("quiet"), width: 1.5, dash: "dash" },
      },
    ],
  });
}

const rivals = data.methods.map((name, i) => [i, name]);
fill("comparison-a", rivals, drawComparison);
fill("comparison-b", rivals, drawComparison);
fill(
  "comparison-score",
  data.scores.map((score, i) => [i, score.name]),
  drawComparison,
);
if (data.methods.length > 1) {
  const base = data.baseline === null ? 1 : data.methods.indexOf(data.baseline);
  byId("comparison-b").value = String(base);
  byId("comparison-a").value = String(base === 0 ? 1 : 0);
}
if (data.methods.length < 2) hide("comparison", true);
redraws.push(drawComparison);
drawComparison();
