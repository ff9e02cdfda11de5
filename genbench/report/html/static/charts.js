// Charts with uPlot: axes, grids and zoom are its own; marks, error bars and labels are drawn over them.

const FONT = "12px system-ui, sans-serif";

function axisOptions(label, isLog) {
  const ink = themeColour("pale");
  const line = { stroke: themeColour("line"), width: 1 };
  return {
    label,
    labelFont: FONT,
    font: FONT,
    stroke: ink,
    grid: line,
    ticks: line,
    values: (_, splits) => splits.map((value) => (value === null ? "" : compact(value))),
    ...(isLog ? { splits: (plot, axis, low, high) => logSplits(low, high), filter: (_, splits) => splits } : {}),
  };
}

// Round values inside a logarithmic range: powers of ten, with 2 and 5 where there are few, or evenly spaced ones.
function logSplits(low, high) {
  const found = [];
  const decades = Math.log10(high / low);
  const factors = decades > 6 ? [1] : decades > 2.5 ? [1, 3] : [1, 2, 5];
  const every = decades > 12 ? 2 : 1;
  for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power += every) {
    for (const factor of factors) {
      const value = factor * 10 ** power;
      if (value >= low * 0.999 && value <= high * 1.001) found.push(value);
    }
  }
  if (found.length >= 3) return found;
  const step = 10 ** Math.floor(Math.log10(high - low)) / 2;
  const even = [];
  for (let value = Math.ceil(low / step) * step; value <= high && even.length < 12; value += step) even.push(value);
  return even;
}

function paddedRange(isLog, share, floor = -Infinity) {
  return (_, lowest, high) => {
    const low = lowest === null ? null : Math.max(lowest, floor);
    if (low === null || high === null) return isLog ? [1, 10] : [0, 1];
    if (isLog) {
      const factor = Math.max((high / low) ** share, 1.02);
      return [low / factor, high * factor];
    }
    const pad = high > low ? (high - low) * share : Math.abs(low) * 0.1 || 1;
    return [low >= 0 ? Math.max(low - pad, 0) : low - pad, high + pad];
  };
}

// Makes a chart in `holder` and keeps its width; returns the uPlot object.
function makePlot(holder, options, data, label) {
  const width = () => Math.max(240, Math.floor(holder.clientWidth));
  const plot = new uPlot({ ...options, width: width(), legend: { show: false } }, data, holder);
  plot.root.setAttribute("role", "img");
  plot.root.setAttribute("aria-label", label);
  const observer = new ResizeObserver(() => {
    if (!plot.root.isConnected) observer.disconnect();
    else if (Math.abs(plot.width - width()) > 1) plot.setSize({ width: width(), height: options.height });
  });
  observer.observe(holder);
  return plot;
}

function drawBar(plot, x, low, high, isVertical) {
  const { ctx } = plot;
  const ends = [low, high].map((value) => plot.valToPos(value, isVertical ? "y" : "x", true));
  const at = plot.valToPos(x, isVertical ? "x" : "y", true);
  const cap = 3 * devicePixelRatio;
  if (![at, ...ends].every(Number.isFinite)) return;
  ctx.beginPath();
  const line = (a, b, c, d) => {
    ctx.moveTo(isVertical ? a : b, isVertical ? b : a);
    ctx.lineTo(isVertical ? c : d, isVertical ? d : c);
  };
  line(at, ends[0], at, ends[1]);
  for (const end of ends) line(at - cap, end, at + cap, end);
  ctx.stroke();
}

function clipped(plot, draw) {
  const { ctx, bbox } = plot;
  ctx.save();
  ctx.beginPath();
  ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
  ctx.clip();
  draw(ctx);
  ctx.restore();
}

function drawLevel(plot, value, text, colour, number = 0) {
  const { ctx, bbox } = plot;
  const y = plot.valToPos(value, "y", true);
  if (!(y >= bbox.top && y <= bbox.top + bbox.height)) return;
  clipped(plot, () => {
    ctx.strokeStyle = colour;
    ctx.fillStyle = colour;
    ctx.lineWidth = devicePixelRatio;
    ctx.setLineDash([5 * devicePixelRatio, 4 * devicePixelRatio]);
    ctx.beginPath();
    ctx.moveTo(bbox.left, y);
    ctx.lineTo(bbox.left + bbox.width, y);
    ctx.stroke();
    ctx.font = scaledFont();
    ctx.textAlign = ["right", "left", "center"][number % 3]; // lines that are close do not cover each other's names
    ctx.textBaseline = y - bbox.top < 16 * devicePixelRatio ? "top" : "bottom";
    const gap = 4 * devicePixelRatio;
    ctx.fillText(text, bbox.left + [bbox.width - gap, gap, bbox.width / 2][number % 3], y);
  });
}

function scaledFont() {
  return `${12 * devicePixelRatio}px system-ui, sans-serif`;
}

// A chart of curves. `spec` holds xLabel, yLabel, logX, logY, height, label, onCursor(x), levels [{value, text}],
// marks [{x, y, colour}] and series [{name, x, y, errors, low, high, colour, opacity}].
function lineChart(holder, spec) {
  const tables = [];
  const drawn = [];
  for (const series of spec.series) {
    const kept = usable(series, spec);
    if (kept.x.length === 0) continue;
    drawn.push({ ...series, ...kept });
    tables.push(kept.low ? [kept.x, kept.y, kept.low, kept.high] : [kept.x, kept.y]);
  }
  const data = tables.length ? uPlot.join(tables, tables.map((table) => table.map(() => 1))) : [[], []];
  const seriesOptions = [{}];
  const bands = [];
  for (const series of drawn) {
    const colour = seriesColour(series.colour);
    series.place = seriesOptions.length;
    seriesOptions.push({
      label: series.name,
      stroke: faded(colour, series.opacity ?? 1),
      width: 2,
      dash: seriesDash(series.colour),
      points: { show: series.y.length < 30, size: 5, fill: colour },
    });
    if (series.low) {
      const edge = { stroke: "transparent", width: 0, points: { show: false } };
      seriesOptions.push(edge, edge);
      bands.push({ series: [series.place + 2, series.place + 1], fill: faded(colour, 0.18) });
    }
  }
  if (!drawn.length) seriesOptions.push({});
  const options = {
    height: spec.height,
    series: seriesOptions,
    bands,
    scales: {
      x: { time: false, distr: spec.logX ? 3 : 1, range: spec.logX ? paddedRange(true, 0.01) : undefined },
      y: { distr: spec.logY ? 3 : 1, range: paddedRange(spec.logY, 0.05) },
    },
    axes: [axisOptions(spec.xLabel, spec.logX), { ...axisOptions(spec.yLabel, spec.logY), size: 70 }],
    cursor: { drag: { x: true, y: true, uni: 20 }, points: { size: 7 } },
    hooks: {
      draw: [
        (plot) => {
          (spec.levels ?? []).forEach((level, number) => drawLevel(plot, level.value, level.text, themeColour("pale"), number));
          clipped(plot, (ctx) => drawErrorsAndMarks(plot, ctx, drawn, spec));
          if (spec.cursorAt !== undefined) drawPosition(plot, spec.cursorAt());
        },
      ],
      setCursor: [
        (plot) => {
          if (plot.cursor.left >= 0) spec.onCursor?.(plot.posToVal(plot.cursor.left, "x"));
        },
      ],
    },
  };
  const plot = makePlot(holder, options, data, spec.label);
  return { plot, drawn };
}

function drawErrorsAndMarks(plot, ctx, drawn, spec) {
  ctx.lineWidth = devicePixelRatio;
  for (const series of drawn) {
    if (!plot.series[series.place].show) continue;
    ctx.strokeStyle = seriesColour(series.colour);
    for (let place = 0; series.errors && place < series.x.length; place++) {
      const [y, error] = [series.y[place], series.errors[place]];
      if (y === null || error === null || error === undefined) continue;
      drawBar(plot, series.x[place], spec.logY ? Math.max(y - 2 * error, y * 1e-3) : y - 2 * error, y + 2 * error, true);
    }
    for (const mark of spec.marks ?? []) {
      if (mark.name !== series.name) continue;
      const [x, y] = [plot.valToPos(mark.x, "x", true), plot.valToPos(mark.y, "y", true)];
      ctx.fillStyle = seriesColour(series.colour);
      ctx.beginPath();
      ctx.arc(x, y, 6 * devicePixelRatio, 0, 2 * Math.PI);
      ctx.fill();
    }
  }
}

function drawPosition(plot, x) {
  if (x === null) return;
  clipped(plot, (ctx) => {
    const at = plot.valToPos(x, "x", true);
    ctx.strokeStyle = themeColour("ink");
    ctx.lineWidth = devicePixelRatio;
    ctx.beginPath();
    ctx.moveTo(at, plot.bbox.top);
    ctx.lineTo(at, plot.bbox.top + plot.bbox.height);
    ctx.stroke();
  });
}

// What can be drawn: ascending positions, and on a logarithmic axis only positive values.
function usable(series, spec) {
  const kept = [];
  let previous = -Infinity;
  for (let place = 0; place < series.x.length; place++) {
    const x = series.x[place];
    if (x > previous && !(spec.logX && x <= 0)) {
      kept.push(place);
      previous = x;
    }
  }
  const positive = (value) => (value === null || (spec.logY && value <= 0) ? null : value);
  const pick = (list) => list && kept.map((place) => list[place] ?? null);
  return {
    x: pick(series.x),
    y: pick(series.y).map(positive),
    errors: pick(series.errors),
    low: pick(series.low)?.map(positive),
    high: pick(series.high)?.map(positive),
  };
}
