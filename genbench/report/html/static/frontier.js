// Quality against speed: one point for each row, with intervals on both axes; rows that nothing beats are joined.

const MOST_LABELS = 40;

function frontierChart(holder, page) {
  const state = { speed: 0, quality: 0, logX: false, logY: false, references: true };
  const chart = element("div", { class: "chart" });
  const about = element("p", { class: "caption" });
  const tip = element("div", { class: "tip", hidden: true, "aria-hidden": "true" });
  const controls = element("div", { class: "toolbar" });
  const wrapper = element("div", { class: "chart-holder" }, chart, tip);
  const title = element("h3", {}, "Quality against speed");
  holder.replaceChildren(title, controls, wrapper, about);

  function start() {
    state.speed = state.quality = 0;
    const { speeds, qualities } = page.table;
    const possible = speeds.length > 0 && qualities.length > 0;
    wrapper.hidden = controls.hidden = !possible;
    if (!possible) {
      about.textContent = "No cell has both a speed and a metric yet.";
      return;
    }
    controls.replaceChildren(
      chooser("Across", speeds.map((axis, n) => [n, axis.name]), 0, (n) => update({ speed: Number(n) })),
      chooser("Up", qualities.map((axis, n) => [n, axis.name]), 0, (n) => update({ quality: Number(n) })),
      checkbox("log across", state.logX, (logX) => update({ logX })),
      checkbox("log up", state.logY, (logY) => update({ logY })),
      checkbox("reference lines", state.references, (references) => update({ references })),
    );
    show();
  }

  function update(change) {
    Object.assign(state, change);
    show();
  }

  function show() {
    const { speeds, qualities, frontiers, references } = page.table;
    if (!speeds.length || !qualities.length) return;
    const [speed, quality] = [speeds[state.speed], qualities[state.quality]];
    const groups = frontiers[quality.key]?.[speed.key] ?? [];
    const at = new Map(speed.points.map((point) => [point[0], point]));
    const height = new Map(quality.points.map((point) => [point[0], point]));
    const isShown = (row) => page.visible.has(row) && !(state.logX && at.get(row)[1] <= 0) && !(state.logY && height.get(row)[1] <= 0);
    const shownGroups = groups.map((group) => ({ ...group, rows: group.rows.filter(isShown), frontier: group.frontier.filter(isShown) })).filter((group) => group.rows.length);
    const points = shownGroups.flatMap((group, number) =>
      group.rows.map((row) => ({
        row, group: number, x: at.get(row)[1], y: height.get(row)[1],
        xBar: positive(at.get(row).slice(2), state.logX), yBar: positive(height.get(row).slice(2), state.logY),
        joined: group.frontier.includes(row),
      })),
    );
    const lines = state.references ? (references[quality.key] ?? []).filter(([, , value]) => !state.logY || value > 0) : [];
    const inside = lines.filter(([, , value]) => state.logY || isNear(value, points));
    draw(points, shownGroups, inside, speed, quality);
    about.textContent = description(points, shownGroups, lines.filter((line) => !inside.includes(line)), speed, quality);
  }

  // Whether a line can be shown without squeezing the points together.
  function isNear(value, points) {
    const values = points.flatMap((p) => [p.y, ...(p.yBar ?? [])]);
    const [lowest, highest] = [Math.min(...values), Math.max(...values)];
    const reach = Math.max(highest - lowest, Math.abs(highest) * 0.2);
    return points.length > 0 && value >= lowest - reach && value <= highest + reach;
  }

  function positive(bounds, isLog) {
    if (bounds[0] === null || bounds[0] === undefined) return null;
    return isLog && bounds[0] <= 0 ? null : bounds;
  }

  function description(points, groups, outside, speed, quality) {
    const better = `Better is ${quality.direction === "lower" ? "down" : "up"} and to the ${speed.direction === "lower" ? "left" : "right"}.`;
    const bars = points.some((p) => p.xBar || p.yBar) ? " Bars are intervals, or two standard errors to each side." : "";
    const joined = " Rows that no comparable row beats on both axes are joined.";
    const apart = groups.length > 1 ? ` Rows of different shapes may not be compared with each other (${groups.length} groups: another dataset, protocol or machine).` : "";
    const far = outside.length ? ` Outside the chart: ${outside.map(([name, dataset, value]) => `${name}${groups.length > 1 ? ` (${dataset})` : ""} ${compact(value)}`).join(", ")}.` : "";
    return better + bars + joined + apart + far;
  }

  function draw(points, groups, lines, speed, quality) {
    const pairs = points.flatMap((p) => [[p.x, p.y], ...(p.xBar ?? []).map((x) => [x, p.y]), ...(p.yBar ?? []).map((y) => [p.x, y])]);
    for (const [, , value] of lines) if (points.length) pairs.push([points[0].x, value]);
    pairs.sort((one, other) => one[0] - other[0]);
    const options = {
      height: 420,
      series: [{}, { paths: () => null, points: { show: false } }],
      scales: {
        x: { time: false, distr: state.logX ? 3 : 1, range: paddedRange(state.logX, 0.12, floor(points.map((p) => p.x))) },
        y: { distr: state.logY ? 3 : 1, range: paddedRange(state.logY, 0.12, floor(points.map((p) => p.y))) },
      },
      axes: [axisOptions(`${speed.name}${arrow(speed)}`, state.logX), { ...axisOptions(`${quality.name}${arrow(quality)}`, state.logY), size: 70 }],
      cursor: { drag: { x: true, y: true, uni: 20 }, points: { show: false } },
      hooks: {
        draw: [(plot) => drawPoints(plot, points, groups, lines)],
        setCursor: [(plot) => point(plot, points)],
      },
    };
    chart.replaceChildren();
    const data = [pairs.map(([x]) => x), pairs.map(([, y]) => y)];
    const plot = makePlot(chart, options, data, `${quality.name} against ${speed.name} of ${points.length} rows; the table above has the numbers`);
    plot.over.addEventListener("click", () => {
      const found = closest(plot, points);
      if (found) page.openCell(page.table.rows[found.row].cells[0]);
    });
  }

  // An interval may reach below zero where no value does: the axis then starts at zero.
  function floor(values) {
    return values.every((value) => value >= 0) ? 0 : -Infinity;
  }

  function arrow(axis) {
    return axis.direction === "lower" ? " ↓" : axis.direction === "higher" ? " ↑" : "";
  }

  function drawPoints(plot, points, groups, lines) {
    const several = new Set(lines.map((line) => line[1])).size > 1;
    lines.forEach(([name, dataset, value], number) =>
      drawLevel(plot, value, several ? `${name} (${dataset})` : name, themeColour("pale"), number),
    );
    clipped(plot, (ctx) => {
      ctx.lineWidth = 1.5 * devicePixelRatio;
      ctx.setLineDash([]);
      for (const group of groups) {
        const joined = points.filter((p) => group.frontier.includes(p.row) && group.rows.includes(p.row)).sort((a, b) => a.x - b.x);
        ctx.strokeStyle = themeColour("pale");
        ctx.beginPath();
        joined.forEach((p, n) => (n ? ctx.lineTo(...place(plot, p)) : ctx.moveTo(...place(plot, p))));
        ctx.stroke();
      }
      for (const p of points) {
        const colour = seriesColour(page.rowColour(p.row));
        ctx.strokeStyle = faded(colour, 0.7);
        if (p.xBar) drawBar(plot, p.y, p.xBar[0], p.xBar[1], false);
        if (p.yBar) drawBar(plot, p.x, p.yBar[0], p.yBar[1], true);
        ctx.fillStyle = p.joined ? colour : themeColour("ground");
        ctx.strokeStyle = colour;
        ctx.lineWidth = 2 * devicePixelRatio;
        shape(ctx, ...place(plot, p), p.group);
      }
    });
    if (points.length <= MOST_LABELS) labels(plot, points);
  }

  function place(plot, p) {
    return [plot.valToPos(p.x, "x", true), plot.valToPos(p.y, "y", true)];
  }

  // Groups that may not be compared have different shapes: circle, square, triangle, diamond.
  function shape(ctx, x, y, group) {
    const size = 5.5 * devicePixelRatio;
    ctx.beginPath();
    if (group % 4 === 0) ctx.arc(x, y, size, 0, 2 * Math.PI);
    else {
      const corners = [[[-1, -1], [1, -1], [1, 1], [-1, 1]], [[0, -1.2], [1.1, 1], [-1.1, 1]], [[0, -1.4], [1.4, 0], [0, 1.4], [-1.4, 0]]][(group % 4) - 1];
      corners.forEach(([a, b], n) => (n ? ctx.lineTo(x + a * size, y + b * size) : ctx.moveTo(x + a * size, y + b * size)));
      ctx.closePath();
    }
    ctx.fill();
    ctx.stroke();
  }

  // Names beside the points: on the first side where they cover nothing.
  function labels(plot, points) {
    const { ctx, bbox } = plot;
    const gap = 9 * devicePixelRatio;
    const line = 14 * devicePixelRatio;
    const taken = points.map((p) => {
      const [x, y] = place(plot, p);
      return [x - gap / 2, y - gap / 2, x + gap / 2, y + gap / 2];
    });
    ctx.save();
    ctx.font = scaledFont();
    ctx.fillStyle = themeColour("ink");
    ctx.textBaseline = "middle";
    ctx.textAlign = "left";
    for (const p of points) {
      const [x, y] = place(plot, p);
      const text = page.table.rows[p.row].name;
      const width = ctx.measureText(text).width;
      const sides = [[x + gap, y + line], [x + gap, y - line], [x - width / 2, y + line * 1.2], [x - width / 2, y - line * 1.2], [x + gap, y], [x - gap - width, y], [x - gap - width, y - line], [x - gap - width, y + line]];
      const free = sides.map(([a, b]) => [a, b - line / 2, a + width, b + line / 2]).find((box) =>
        box[0] >= bbox.left && box[2] <= bbox.left + bbox.width && box[1] >= bbox.top && box[3] <= bbox.top + bbox.height &&
        taken.every((other) => box[2] < other[0] || box[0] > other[2] || box[3] < other[1] || box[1] > other[3]),
      );
      if (!free) continue;
      taken.push(free);
      ctx.fillText(text, free[0], (free[1] + free[3]) / 2);
    }
    ctx.restore();
  }

  function closest(plot, points) {
    const { left, top } = plot.cursor;
    let found = null;
    let least = 24;
    for (const p of points) {
      const distance = Math.hypot(plot.valToPos(p.x, "x") - left, plot.valToPos(p.y, "y") - top);
      if (distance < least) [found, least] = [p, distance];
    }
    return found;
  }

  function point(plot, points) {
    const found = plot.cursor.left >= 0 ? closest(plot, points) : null;
    tip.hidden = !found;
    plot.over.style.cursor = found ? "pointer" : "";
    if (!found) return;
    const row = page.table.rows[found.row];
    const text = (key) => row.values[page.table.columns.findIndex((column) => column.key === key)]?.[0] ?? "–";
    const [speed, quality] = [page.table.speeds[state.speed], page.table.qualities[state.quality]];
    tip.replaceChildren(element("strong", {}, row.name), element("br"), `${speed.name}: ${text(speed.key)}`, element("br"), `${quality.name}: ${text(quality.key)}`);
    const left = plot.cursor.left + plot.bbox.left / devicePixelRatio;
    tip.style.left = `${Math.min(left + 14, Math.max(0, wrapper.clientWidth - tip.offsetWidth - 4))}px`;
    tip.style.top = `${plot.cursor.top + 14}px`;
  }

  page.onTable(start);
  page.onChange(show);
  document.addEventListener("themechange", show);
  start();
}
