// Curves: any recorded quantity of any cells in one chart, over images, steps or seconds.

function curveChart(holder, page) {
  const state = { chosen: null, axis: "images", logX: false, logY: false, smoothing: 0, means: true };
  const chart = element("div", { class: "chart" });
  const legend = element("div", { class: "legend" });
  const about = element("p", { class: "caption", role: "status" });
  const controls = element("div", { class: "toolbar" });
  const hidden = new Set(); // names of series that the reader has switched off
  let plot = null;
  holder.replaceChildren(controls, chart, legend, about);

  function sources() {
    const rows = page.drawnRows();
    if (!state.means) return rows.flatMap((row) => row.cells.map((cell) => ({ ...page.cells[cell], colour: page.cellColour(cell), cell })));
    return rows.map((row) => {
      const pool = page.pools.find((one) => one.cells.length === row.cells.length && one.cells.every((cell) => row.cells.includes(cell)));
      return pool
        ? { short: `${row.name} (mean of ${pool.cells.length} seeds)`, curves: pool.curves, colour: page.cellColour(row.cells[0]), reached: [] }
        : { ...page.cells[row.cells[0]], colour: page.cellColour(row.cells[0]), cell: row.cells[0] };
    });
  }

  // Every quantity by its kind, in the order in which they were recorded.
  function kinds() {
    const found = new Map();
    for (const cell of page.cells) {
      for (const group of cell.curves) {
        for (const { name, kind } of group.quantities) {
          if (!found.has(kind)) found.set(kind, new Set());
          found.get(kind).add(name);
        }
      }
    }
    return found;
  }

  function start() {
    const found = kinds();
    if (!found.size) {
      about.textContent = "No curves were recorded.";
      return;
    }
    state.chosen = firstQuantities(found);
    state.logY = state.chosen.size > 1 && isWide();
    makeControls(found);
    show();
  }

  // A metric if one was measured during training, otherwise the loss of each phase, without its parts.
  function firstQuantities(found) {
    const [[kind, names]] = found;
    const phases = [...names].filter((name) => !name.includes("."));
    return new Set(kind === "metrics" || !phases.length ? [[...names][0]] : phases);
  }

  // Whether the chosen quantities are positive and of very different sizes.
  function isWide() {
    const values = makeSeries().flatMap((one) => one.y.filter((y) => y !== null));
    return Math.min(...values) > 0 && Math.max(...values) > 50 * Math.min(...values);
  }

  function makeControls(found) {
    const list = element("select", {
      onchange: () => {
        const [what, name] = [list.value[0], list.value.slice(1)];
        choose(what === "k" ? found.get(name) : [name]);
      },
    });
    for (const [kind, names] of found) {
      list.append(
        element(
          "optgroup",
          { label: kind },
          names.size > 1 ? element("option", { value: `k${kind}` }, `all ${kind}`) : null,
          [...names].map((name) => element("option", { value: `q${name}` }, name)),
        ),
      );
    }
    list.value = `${state.chosen.size > 1 ? "k" : "q"}${state.chosen.size > 1 ? found.keys().next().value : [...state.chosen][0]}`;
    const boxes = new Map();
    const more = element(
      "div",
      { class: "columns" },
      [...found].map(([kind, names]) =>
        element(
          "fieldset",
          {},
          element("legend", {}, kind),
          [...names].map((name) => {
            const made = checkbox(name, state.chosen.has(name), (checked) => {
              if (checked) state.chosen.add(name);
              else state.chosen.delete(name);
              show();
            });
            boxes.set(name, made.querySelector("input"));
            return made;
          }),
        ),
      ),
    );
    function choose(names) {
      state.chosen = new Set(names);
      for (const [name, box] of boxes) box.checked = state.chosen.has(name);
      show();
    }
    const smoothing = element("input", {
      type: "range", min: "0", max: "0.98", step: "0.02", value: "0",
      oninput: () => update({ smoothing: Number(smoothing.value) }),
    });
    const parts = [
      element("label", { class: "control" }, "Quantity", list),
      element("details", { class: "menu" }, element("summary", {}, "Several quantities"), more),
      chooser("Over", Object.entries(page.axes), state.axis, (axis) => update({ axis })),
      checkbox("log across", false, (logX) => update({ logX })),
      checkbox("log up", state.logY, (logY) => update({ logY })),
      element("label", { class: "control" }, "Smoothing", smoothing),
    ];
    if (page.pools.length) parts.push(checkbox("means over seeds", true, (means) => update({ means })));
    controls.replaceChildren(...parts);
  }

  function update(change) {
    Object.assign(state, change);
    show();
  }

  function makeSeries() {
    const quantities = [...state.chosen];
    const found = [];
    for (const source of sources()) {
      for (const group of source.curves) {
        for (const quantity of group.quantities) {
          const number = quantities.indexOf(quantity.name);
          if (number < 0) continue;
          const name = quantities.length > 1 ? `${source.short}: ${quantity.name}` : source.short;
          const y = smoothed(quantity.values, state.smoothing);
          const isMean = source.reached.length === 0 && source.cell === undefined;
          const bounds = (sign) => y.map((value, n) => (value === null || quantity.errors?.[n] == null ? value : value + sign * quantity.errors[n]));
          found.push({
            name, x: group[state.axis], y, kind: quantity.kind, quantity: quantity.name, reached: source.reached,
            colour: (source.colour % SERIES_COLOURS) + SERIES_COLOURS * (quantities.length > 1 ? number : Math.floor(source.colour / SERIES_COLOURS)),
            ...(isMean && quantity.errors ? { low: bounds(-1), high: bounds(1) } : { errors: state.smoothing ? undefined : quantity.errors }),
          });
        }
      }
    }
    return found;
  }

  function show() {
    if (!state.chosen) return;
    const series = makeSeries();
    const quantities = [...state.chosen];
    const targets = page.targets.map((target, number) => ({ ...target, number })).filter((target) => state.chosen.has(target.metric));
    chart.replaceChildren();
    const made = lineChart(chart, {
      height: 360,
      xLabel: page.axes[state.axis],
      yLabel: quantities.length === 1 ? quantities[0] : [...new Set(series.map((one) => one.kind))].join(", ").slice(0, 60),
      logX: state.logX,
      logY: state.logY,
      series,
      levels: targets.map((target) => ({ value: target.value, text: `target ${target.direction === "lower" ? "≤" : "≥"} ${compact(target.value)}` })),
      marks: targets.flatMap((target) =>
        series.filter((one) => one.quantity === target.metric && one.reached[target.number]).map((one) => ({ name: one.name, x: one.reached[target.number][state.axis], y: target.value })),
      ),
      label: `${quantities.join(", ")} over ${page.axes[state.axis]} of ${series.length} curves`,
      onCursor: (x) => {
        showValues(made.drawn, x);
        page.setPosition(state.axis, x, "chart");
      },
      cursorAt: () => (page.position?.axis === state.axis ? page.position.x : null),
    });
    plot = made.plot;
    makeLegend(made.drawn);
    about.textContent = description(series, made.drawn, targets);
  }

  function description(series, drawn, targets) {
    if (!series.length) return "None of the chosen cells has this quantity. Tick cells in the table above to draw them.";
    const parts = ["Drag to zoom, double-click to see everything."];
    if (drawn.some((one) => one.low)) parts.push("Bands are one standard error over seeds to each side.");
    else if (drawn.some((one) => one.errors)) parts.push("Bars are two standard errors to each side.");
    if (targets.length) parts.push("A dot is where a cell reached the target and stayed there.");
    if (state.smoothing) parts.push(`Smoothed: each value keeps ${Math.round(100 * state.smoothing)}% of the previous mean.`);
    if ((state.logX && series.some((one) => one.x.some((x) => x <= 0))) || (state.logY && series.some((one) => one.y.some((y) => y !== null && y <= 0)))) {
      parts.push("Values that are not positive have no place on a logarithmic axis.");
    }
    const undrawn = page.visible.size - page.drawnRows().length;
    if (undrawn > 0) parts.push(`${undrawn} rows of the table are not drawn; tick them to add them.`);
    return parts.join(" ");
  }

  function makeLegend(drawn) {
    legend.replaceChildren(
      ...drawn.map((one) => {
        const value = element("span", { class: "pale value" });
        one.label = value;
        const made = button("", () => setShown(!hidden.delete(one.name)), { "aria-pressed": "true" });
        made.append(swatch(one.colour), element("bdi", {}, one.name), value);
        function setShown(off) {
          if (off) hidden.add(one.name);
          made.setAttribute("aria-pressed", String(!off));
          for (const place of one.low ? [one.place, one.place + 1, one.place + 2] : [one.place]) plot.setSeries(place, { show: !off });
        }
        if (hidden.has(one.name)) setShown(true);
        return made;
      }),
    );
  }

  function showValues(drawn, x) {
    for (const one of drawn) {
      const value = one.y[nearest(one.x, x)];
      one.label.textContent = value === null ? "" : ` ${compact(value)}`;
    }
  }

  page.onChange(show);
  page.onPosition((source) => {
    if (source !== "chart") plot?.redraw(false, false);
  });
  document.addEventListener("themechange", show);
  start();
}

// An exponential moving average without the bias of its start; gaps stay gaps.
function smoothed(values, weight) {
  if (!weight) return values;
  let [sum, total] = [0, 0];
  return values.map((value) => {
    if (value === null) return null;
    sum = weight * sum + (1 - weight) * value;
    total = weight * total + (1 - weight);
    return sum / total;
  });
}
