// The keys of a memory in the plane.

const BY_VALUE = 0,
  BY_TIME = 1,
  BY_ACTION = 2,
  FIRST_PARAMETER = 3;

/** What colours the points: their numbers, the name, and the ticks of the colour bar. */
function colouring(map) {
  const by = chosen("map-colour");
  if (by === BY_VALUE) return { numbers: map.value, name: "value (hyper-return)", bounds: map.bounds };
  if (by === BY_TIME) return { numbers: map.time, name: "order of writing", bounds: [1, map.total] };
  if (by === BY_ACTION)
    return {
      numbers: map.action,
      name: "joint action",
      bounds: [Math.min(...map.action), Math.max(...map.action)],
    };
  const parameter = map.parameters[by - FIRST_PARAMETER],
    levels = distinct(parameter.values)
      .filter((value) => value !== null)
      .sort((a, b) => a - b);
  return {
    numbers: parameter.values.map((value) => levels.indexOf(value)),
    name: parameter.name,
    bounds: [0, Math.max(levels.length - 1, 1)],
    ticks: {
      tickvals: levels.map((_, i) => i),
      ticktext: levels.map((level) => show(level) + (parameter.relative ? "×" : "")),
    },
  };
}

function drawMap() {
  const map = data.maps[chosen("map-run")],
    { numbers, name, bounds, ticks } = colouring(map),
    run = data.runs[map.run];
  const hover = map.x.map((_, i) =>
    [
      `value ${show(map.value[i])}`,
      `written ${show(map.time[i])} of ${show(map.total)}`,
      `action ${map.action[i]}`,
      ...map.parameters.map((p) => `${p.name} ${show(p.values[i])}${p.relative ? "×" : ""}`),
    ].join("<br>"),
  );
  byId("map-about").textContent =
    `t-SNE of the keys in the memory of ${run.folder}: near points are alike, distances between far ones mean little. ` +
    (map.x.length < map.total
      ? `${show(map.x.length)} of ${show(map.total)} entries, drawn by chance.`
      : `All ${show(map.total)} entries.`);
  draw(
    "map-plot",
    [
      {
        type: "scatter",
        mode: "markers",
        x: map.x,
        y: map.y,
        text: hover,
        hovertemplate: "%{text}<extra></extra>",
        marker: {
          size: narrow() ? 4 : 6,
          color: numbers,
          cmin: bounds[0],
          cmax: bounds[1],
          colorscale: "Viridis",
          opacity: 0.85,
          colorbar: {
            title: { text: plain(name), font: { size: 13 }, side: narrow() ? "top" : "right" },
            orientation: narrow() ? "h" : "v",
            thickness: 14,
            outlinewidth: 0,
            ...(narrow() ? { y: -0.05, yanchor: "top" } : {}),
            ...ticks,
          },
        },
      },
    ],
    {
      height: narrow() ? 440 : 520,
      margin: { l: 10, r: 10, t: 34, b: 20 },
      hovermode: "closest",
      xaxis: axis({ showticklabels: false, showgrid: false, mirror: true, showline: true }),
      yaxis: axis({ showticklabels: false, showgrid: false, mirror: true, showline: true }),
    },
  );
}

function chooseMap() {
  const { parameters } = data.maps[chosen("map-run")];
  fill(
    "map-colour",
    [
      [BY_VALUE, "value"],
      [BY_TIME, "time"],
      [BY_ACTION, "chosen action"],
      ...parameters.map((p, i) => [FIRST_PARAMETER + i, p.name]),
    ],
    drawMap,
  );
  drawMap();
}

if (data.maps.length) {
  fill(
    "map-run",
    data.maps.map((map, i) => [i, data.runs[map.run].folder]),
    chooseMap,
  );
  offer("map-csv", "map.csv", () => {
    const map = data.maps[chosen("map-run")];
    return [
      [
        "x",
        "y",
        "value",
        "order of writing",
        "joint action",
        ...map.parameters.map((p) => p.name + (p.relative ? " (multiple)" : "")),
      ],
      map.x.map((x, i) => [
        x,
        map.y[i],
        map.value[i],
        map.time[i],
        map.action[i],
        ...map.parameters.map((p) => p.values[i]),
      ]),
    ];
  });
  redraws.push(drawMap);
  chooseMap();
} else hide("map", true);
