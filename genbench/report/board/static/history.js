// The history of a cell: a chart of each series over runs. The table below each chart has every value.

const ERRORS_SHOWN = 2; // standard errors to each side of a value

function historyChart(holder, series, rows) {
  const count = series.values.length;
  const state = { place: count - 1 };
  const chart = element("div", { class: "chart" });
  const output = element("output", {});
  const slider = element("input", {
    type: "range", min: "0", max: String(count - 1), step: "1", value: String(count - 1),
    oninput: () => select(Number(slider.value)),
  });
  const about = element("p", { class: "caption" }, description(series));
  holder.replaceChildren(chart, element("div", { class: "toolbar" }, element("label", { class: "control" }, "Run", slider), output), about);
  let plot;

  // What the row of the table says, in words.
  function textOf(place) {
    const [time, run, commit, seeds, value, , change] = [...rows[place].cells].map((cell) => cell.textContent);
    const about = `${value} over ${seeds} seed${seeds === "1" ? "" : "s"}`;
    return [`${run}, ${time.slice(0, 10)}, commit ${commit}: ${about}`, change].filter(Boolean).join("; level ");
  }

  function select(place) {
    rows[state.place].removeAttribute("aria-current");
    state.place = place;
    rows[place].setAttribute("aria-current", "true");
    slider.value = String(place);
    output.textContent = textOf(place);
    slider.setAttribute("aria-valuetext", output.textContent);
    plot.redraw(false, false);
  }

  function show() {
    chart.replaceChildren();
    const ends = series.values.flatMap((value, place) => bounds(series, place));
    const range = paddedRange(false, 0.06)(null, Math.min(...ends), Math.max(...ends));
    const better = series.direction === "higher" ? "↑" : "↓";
    const options = {
      height: 240,
      padding: [22, 8, 0, 0], // the sizes of changes stand above
      series: [{}, { stroke: faded(seriesColour(0), 0.45), width: 1, points: { show: true, size: 6, fill: seriesColour(0), stroke: seriesColour(0) } }],
      scales: { x: { time: false, range: (_, low, high) => [low - 0.6, high + 0.6] }, y: { range: () => range } },
      axes: [runAxis(series.labels), { ...axisOptions(`${series.quantity} ${better}`, false), size: 70 }],
      cursor: { drag: { x: true, y: false }, points: { size: 8 } },
      hooks: {
        draw: [(plot) => drawHistory(plot, series), (plot) => drawPosition(plot, state.place)],
        setCursor: [(plot) => plot.cursor.left >= 0 && plot.cursor.idx !== null && select(plot.cursor.idx)],
      },
    };
    const label = `${series.quantity} of ${count} runs, ${series.changes.length} change${series.changes.length === 1 ? "" : "s"} of level; the table below has the numbers`;
    plot = makePlot(chart, options, [series.values.map((_, place) => place), series.values], label);
  }

  document.addEventListener("themechange", show);
  show();
  select(state.place);
}

// The error bar of a value; without a known error, the value itself.
function bounds(series, place) {
  const value = series.values[place];
  const reach = ERRORS_SHOWN * (series.errors[place] ?? 0);
  return [value - reach, value + reach];
}

function runAxis(labels) {
  const text = (value) => (Number.isInteger(value) ? (labels[value] ?? "") : "");
  return { ...axisOptions("", false), label: undefined, space: 96, incrs: [1, 2, 5, 10, 20, 50, 100, 200], values: (_, splits) => splits.map(text) };
}

function description(series) {
  const parts = ["Dashed: the median of a level."];
  if (series.errors.some((error) => error)) parts.unshift("Bars are two standard errors to each side.");
  if (series.changes.length) parts.push("Vertical lines: a change of level.");
  parts.push("Drag to zoom, double-click to see everything.");
  return parts.join(" ");
}

function drawHistory(plot, series) {
  const { bbox } = plot;
  const line = (x1, y1, x2, y2) => {
    plot.ctx.beginPath();
    plot.ctx.moveTo(x1, y1);
    plot.ctx.lineTo(x2, y2);
    plot.ctx.stroke();
  };
  const x = (place) => plot.valToPos(place, "x", true);
  clipped(plot, (ctx) => {
    ctx.lineWidth = devicePixelRatio;
    ctx.strokeStyle = seriesColour(0);
    series.values.forEach((_, place) => {
      const [low, high] = bounds(series, place);
      if (high > low) drawBar(plot, place, low, high, true);
    });
    ctx.strokeStyle = themeColour("pale");
    ctx.setLineDash([5 * devicePixelRatio, 4 * devicePixelRatio]);
    for (const [start, stop, level] of series.levels) {
      const y = plot.valToPos(level, "y", true);
      line(x(start - 0.4), y, x(stop - 0.6), y);
    }
  });
  plot.ctx.save();
  plot.ctx.lineWidth = 1.75 * devicePixelRatio;
  plot.ctx.font = scaledFont();
  plot.ctx.textBaseline = "bottom";
  const gap = 5 * devicePixelRatio;
  let taken = 0; // up to where a text stands; one that has no room is left to the table
  for (const [index, better, text] of series.changes) {
    const at = x(index - 0.5);
    if (at < bbox.left || at > bbox.left + bbox.width) continue; // zoomed
    plot.ctx.strokeStyle = plot.ctx.fillStyle = themeColour(better ? "good" : "bad");
    plot.ctx.setLineDash(better ? [] : [7 * devicePixelRatio, 3 * devicePixelRatio, 2 * devicePixelRatio, 3 * devicePixelRatio]);
    line(at, bbox.top - 14 * devicePixelRatio, at, bbox.top + bbox.height);
    const width = plot.ctx.measureText(text).width;
    const isLate = at + gap + width > bbox.left + bbox.width;
    const start = isLate ? at - gap - width : at + gap;
    if (start < taken) continue;
    plot.ctx.fillText(text, start, bbox.top - 2 * devicePixelRatio);
    taken = start + width + 2 * gap;
  }
  plot.ctx.restore();
}

document.addEventListener("DOMContentLoaded", () => {
  const data = JSON.parse(document.getElementById("history-data").textContent);
  for (const holder of document.querySelectorAll("[data-series]")) {
    holder.hidden = false; // before it is measured
    historyChart(holder, data[Number(holder.dataset.series)], holder.parentElement.querySelectorAll("tbody tr"));
  }
});
