// The board: cells that pages have loaded, the chart of a cell's page, and the page that compares chosen cells.

const MOST_CHOSEN = 24;
const MOST_OFFERED = 100;
const NOT_COMPARABLE = "†";
const NAMED = ["run", "model", "status"];
const FILTERED = ["loss", "dataset", "variant", "machine", "device"];

const genbenchBoard = {
  cells: new Map(),
  lists: new Map(),
  add(cell) {
    this.cells.set(cell.key, cell);
  },
  list([dataset, part, lines]) {
    if (!this.lists.has(dataset)) this.lists.set(dataset, []);
    this.lists.get(dataset)[part] = lines;
  },
};

function boardRoot() {
  return document.body.dataset.root;
}

// Loads a script of this board once; resolves to whether it could be loaded.
const loading = new Map();
function load(path) {
  if (!loading.has(path)) {
    loading.set(
      path,
      new Promise((resolve) => {
        document.head.append(
          element("script", { src: `${boardRoot()}${path}`, onload: () => resolve(true), onerror: () => resolve(false) }),
        );
      }),
    );
  }
  return loading.get(path);
}

// What `mount` takes, from the data of some cells. A value is marked where another one in its column may not be compared
// with it: metrics of one dataset under other protocols, speeds of one kind of device on other machines.
function pageOf(cells) {
  const names = shortNames(cells);
  const columns = unitedColumns(cells);
  const notes = [];
  const mark = (text) => {
    if (!notes.includes(text)) notes.push(text);
    return `note ${notes.indexOf(text)}`;
  };
  const conflicts = new Map();
  for (const column of columns) {
    const apart = protocolsApart(cells, column);
    if (apart.size) conflicts.set(column.key, apart);
  }
  const eachRow = cells.map((cell, number) => ({
    kind: "cell",
    name: names[number],
    cells: [number],
    best: [],
    values: columns.map(({ key }) => {
      const value = cell.values[key];
      if (!value) return null;
      const marks = (cell.notes[key] ?? []).map(mark);
      if (value[1] !== null && conflicts.get(key)?.has(cell)) marks.push(NOT_COMPARABLE);
      return marks.length ? [value[0], value[1], marks] : value.slice(0, 2);
    }),
  }));
  const footnotes = Object.fromEntries(notes.map((text, number) => [`note ${number}`, text]));
  footnotes[NOT_COMPARABLE] = conditionsApart(conflicts);
  const references = referencesOf(cells);
  const tableOf = (title, caption, rows) => ({
    title, caption, columns, footnotes, best: "",
    rows: [...rows, ...references.map((reference) => referenceRow(reference, columns))],
    ...frontiersOf(rows, cells, columns, references),
  });
  const pools = poolsOf(cells, names);
  const tables = [tableOf("each cell", "", eachRow)];
  if (pools.length) tables.unshift(tableOf("means over seeds", "± is the standard error over training seeds", pooledRows(pools, eachRow, cells, columns)));
  return {
    axes: cells[0].axes,
    tables,
    cells: cells.map((cell, number) => ({
      ...cell,
      anchor: `cell-${number + 1}`,
      href: `${boardRoot()}runs/${cell.key}.html`,
      name: names[number],
      short: names[number],
    })),
    pools: pools.map((pool) => ({ ...pool, curves: meanCurves(pool.cells.map((number) => cells[number])) })),
    targets: [],
  };
}

// Names without what all cells share; with the run where two would have the same name.
function shortNames(cells) {
  const parts = cells.map((cell) => cell.name.split(" · "));
  const short = parts.map((own) => own.filter((part) => cells.length < 2 || !parts.every((other) => other.includes(part))).join(" · "));
  const names = short.map((name, number) => name || cells[number].name);
  return names.map((name, number) => (names.filter((other) => other === name).length > 1 ? `${name} · ${cells[number].run}` : name));
}

// What the conditions differ in, once for all columns that were measured under the same ones.
function conditionsApart(conflicts) {
  const columns = new Map();
  for (const [key, apart] of conflicts) {
    const facts = [...new Set([...apart].map((cell) => cell.protocols[cell.groups[key]]))].map((text) => text.split(", "));
    const differing = facts.map((own) => own.filter((fact) => !facts.every((other) => other.includes(fact))).join(", ") || "images of another dataset");
    const text = differing.join(" / ");
    columns.set(text, [...(columns.get(text) ?? []), key]);
  }
  return [...columns].map(([text, keys]) => `not comparable: ${keys.join(", ")} (${text})`).join("; ");
}

function unitedColumns(cells) {
  const found = new Map();
  for (const cell of cells) {
    for (const column of cell.columns) {
      const known = found.get(column.key);
      found.set(column.key, known ? { ...known, shown: known.shown || column.shown } : { ...column });
    }
  }
  const values = (key) => new Set(cells.map((cell) => (NAMED.includes(key) ? cell[key] : cell.values[key]?.[0])).filter((text) => text !== undefined));
  for (const column of found.values()) {
    column.isSetting = column.setting;
    if (column.setting) column.shown = values(column.key).size > 1; // what differs is shown
    column.setting = FILTERED.includes(column.key);
  }
  const first = { numeric: false, setting: true, isSetting: true, chart: "", direction: null };
  const named = NAMED.map((key) => ({ ...first, key, name: key, heading: key, shown: key !== "run" || values(key).size > 1 }));
  for (const cell of cells) {
    for (const { key } of named) cell.values[key] = [String(cell[key]), String(cell[key]), null, null];
  }
  return [...named, ...found.values()];
}

function protocolsApart(cells, column) {
  const kinds = new Map();
  for (const cell of cells) {
    const group = cell.groups[column.key];
    if (group === undefined || cell.values[column.key]?.[1] === null) continue;
    const kind = column.chart === "quality" ? cell.data : cell.values.device?.[0];
    if (!kinds.has(kind)) kinds.set(kind, new Map());
    const groups = kinds.get(kind);
    groups.set(group, [...(groups.get(group) ?? []), cell]);
  }
  return new Set([...kinds.values()].filter((groups) => groups.size > 1).flatMap((groups) => [...groups.values()].flat()));
}

// The reference rows of the chosen datasets; runs that measured the same share one.
function referencesOf(cells) {
  const found = new Map();
  for (const reference of cells.flatMap((cell) => cell.references ?? [])) found.set(JSON.stringify(reference), reference);
  return [...found.values()];
}

function referenceRow(reference, columns) {
  const values = columns.map(({ key }) => (key === "dataset" ? [reference.dataset, reference.dataset] : (reference.values[key]?.slice(0, 2) ?? null)));
  return { kind: "reference", name: reference.name, cells: [], best: [], values };
}

// Cells that differ only in the seed, if there are several.
function poolsOf(cells, names) {
  const members = new Map();
  cells.forEach((cell, number) => members.set(cell.pool, [...(members.get(cell.pool) ?? []), number]));
  return [...members.values()].filter((own) => own.length > 1).map((own) => {
    const parts = own.map((number) => names[number].split(" · "));
    const shared = parts[0].filter((part) => parts.every((other) => other.includes(part)));
    return { name: shared.join(" · ") || cells[own[0]].model, cells: own };
  });
}

// A row for each pool, and the rows of the other cells as they are.
function pooledRows(pools, rows, cells, columns) {
  const pooled = new Map(pools.map((pool) => [pool.cells[0], pool]));
  const within = new Set(pools.flatMap((pool) => pool.cells));
  return rows.flatMap((row, number) => {
    if (!within.has(number)) return [row];
    const pool = pooled.get(number);
    if (!pool) return [];
    const values = columns.map((column, place) => pooledValue(column, pool.cells.map((member) => rows[member].values[place]), pool.cells.map((member) => cells[member])));
    return [{ ...row, name: pool.name, cells: pool.cells, values }];
  });
}

// The mean of a measurement with its standard error; what all share of anything else. Only ok and collapsed cells count.
function pooledValue(column, values, cells) {
  const marks = [...new Set(values.flatMap((value) => value?.[2] ?? []))];
  const marked = (value) => (marks.length ? [...value, marks] : value);
  const texts = new Set(values.map((value) => value?.[0]));
  const hasInterval = typeof cells[0].values[column.key]?.[2] === "number"; // of one measurement, not over seeds
  if (texts.size === 1 && !hasInterval) return values[0] && marked(values[0].slice(0, 2));
  if (column.isSetting || !column.numeric) return marked([[...texts].filter(Boolean).join(", "), null]);
  const counting = values.filter((value, number) => ["ok", "collapsed"].includes(cells[number].status) && typeof value?.[1] === "number");
  if (!counting.length) return null;
  const { mean, error } = meanAndError(counting.map((value) => value[1]));
  return marked([withError(mean, error), mean]);
}

function meanAndError(numbers) {
  const mean = numbers.reduce((sum, number) => sum + number, 0) / numbers.length;
  if (numbers.length < 2) return { mean, error: null };
  const squares = numbers.reduce((sum, number) => sum + (number - mean) ** 2, 0);
  return { mean, error: Math.sqrt(squares / (numbers.length - 1) / numbers.length) };
}

// The error to two significant digits, the value to the same place.
function withError(value, error) {
  if (!error) return compact(value);
  const decimals = Math.min(Math.max(1 - Math.floor(Math.log10(Number(error.toExponential(1)))), 0), 12);
  const text = (number) => number.toLocaleString("en", { minimumFractionDigits: decimals, maximumFractionDigits: decimals });
  return `${text(value)} ± ${text(error)}`;
}

// The mean of each quantity over cells, with its standard error, at the images that all of them have.
function meanCurves(cells) {
  const found = [];
  for (const group of cells[0].curves) {
    for (const quantity of group.quantities) {
      const own = cells.map((cell) => {
        const place = cell.curves.find((other) => other.quantities.some((one) => one.name === quantity.name));
        return place && { ...place, ...place.quantities.find((one) => one.name === quantity.name) };
      });
      if (own.some((curve) => !curve)) continue;
      const common = group.images.filter((images) => own.every((curve) => curve.images.includes(images)));
      if (common.length < 2) continue;
      const places = own.map((curve) => common.map((images) => curve.images.indexOf(images)));
      const at = (list, number) => own.map((curve, member) => curve[list][places[member][number]]);
      const means = common.map((_, number) => {
        const values = at("values", number);
        return values.some((value) => value === null) ? { mean: null, error: null } : meanAndError(values);
      });
      found.push({
        images: common,
        steps: common.map((_, number) => at("steps", number)[0]),
        seconds: common.map((_, number) => meanAndError(at("seconds", number)).mean),
        quantities: [{ name: quantity.name, kind: quantity.kind, values: means.map(({ mean }) => mean), errors: means.map(({ error }) => error) }],
      });
    }
  }
  return found;
}

function frontiersOf(rows, cells, columns, lines) {
  const first = (row) => cells[rows[row].cells[0]];
  // A value with its interval; of a mean over seeds, two standard errors to each side.
  const point = (row, column, place) => {
    const value = row.values[place];
    if (typeof value?.[1] !== "number") return null;
    if (row.cells.length === 1) return cells[row.cells[0]].values[column.key].slice(1, 4);
    const own = row.cells.map((number) => cells[number].values[column.key]?.[1]).filter((number) => typeof number === "number");
    const { error } = meanAndError(own);
    return error === null ? [value[1], null, null] : [value[1], value[1] - 2 * error, value[1] + 2 * error];
  };
  const axis = (column) => ({
    key: column.key,
    name: column.name,
    direction: column.direction,
    points: rows.flatMap((row, number) => {
      const found = point(row, column, columns.indexOf(column));
      return found ? [[number, ...found]] : [];
    }),
  });
  const speeds = columns.filter((column) => column.chart === "speed").map(axis);
  const qualities = columns.filter((column) => column.chart === "quality").map(axis);
  const frontiers = {};
  for (const quality of qualities) {
    frontiers[quality.key] = {};
    for (const speed of speeds) {
      const groups = new Map();
      const heights = new Map(quality.points.map(([row, value]) => [row, value]));
      for (const [row, x] of speed.points) {
        if (!heights.has(row)) continue;
        const cell = first(row);
        const key = [cell.groups[quality.key], cell.groups[speed.key] ?? ""].join(" ");
        if (!groups.has(key)) groups.set(key, []);
        groups.get(key).push({ row, x, y: heights.get(row) });
      }
      frontiers[quality.key][speed.key] = [...groups.values()].map((points) => ({
        dataset: first(points[0].row).dataset,
        rows: points.map((point) => point.row),
        frontier: notBeaten(points.filter(({ row }) => rows[row].cells.every((number) => cells[number].status === "ok")), speed, quality),
      }));
    }
  }
  const references = Object.fromEntries(
    qualities.map(({ key }) => [key, lines.filter((line) => line.values[key]).map((line) => [line.name, line.dataset, line.values[key][1]])]),
  );
  return { speeds, qualities, frontiers, references };
}

function notBeaten(points, speed, quality) {
  const better = (one, other, direction) => (direction === "lower" ? one < other : one > other);
  const beats = (one, other) =>
    !better(other.x, one.x, speed.direction) && !better(other.y, one.y, quality.direction) &&
    (better(one.x, other.x, speed.direction) || better(one.y, other.y, quality.direction));
  return points.filter((point) => !points.some((other) => beats(other, point))).map((point) => point.row);
}

// The page that compares chosen cells; the part of its address after # keeps the choice.

function comparison(holder) {
  const datasets = JSON.parse(holder.dataset.datasets);
  const state = { dataset: datasets[0]?.[0], words: "", chosen: [] };
  const offered = element("ul", { class: "offered" });
  const chosenList = element("ul", { class: "chosen" });
  const status = element("p", { class: "pale", role: "status" });
  const search = element("input", { type: "search", placeholder: "words of a name, run or status", oninput: () => offer() });
  if (!datasets.length) {
    holder.replaceChildren(element("p", {}, "There are no cells."));
    return;
  }
  const picker = chooser("Dataset", datasets.map(([name, , count]) => [name, `${name} (${count})`]), state.dataset, (dataset) => {
    state.dataset = dataset;
    offer();
  });
  holder.replaceChildren(
    element("div", { class: "toolbar" }, picker, element("label", { class: "control" }, "Find", search)),
    element(
      "div",
      { class: "picker" },
      element("section", { "aria-label": "Cells to choose from" }, offered),
      element(
        "section",
        { "aria-label": "Chosen cells" },
        chosenList,
        button("Copy the link to this choice", () => copyText(location.href, status)),
        " ",
        button("Choose none", () => choose([])),
        status,
      ),
    ),
  );

  async function offer() {
    const [name, paths] = datasets.find(([known]) => known === state.dataset);
    if (!(await Promise.all(paths.map(load))).every(Boolean)) {
      offered.replaceChildren(element("li", {}, "The list of cells is missing: build the board again."));
      return;
    }
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const lines = genbenchBoard.lists.get(name).flat().filter((line) => {
      const text = line.slice(1).join(" ").toLowerCase();
      return words.every((word) => text.includes(word));
    });
    offered.replaceChildren(
      ...lines.slice(0, MOST_OFFERED).map(([key, cell, run, ended]) => {
        const made = checkbox("", state.chosen.includes(key), (checked) =>
          choose(checked ? [...state.chosen, key] : state.chosen.filter((other) => other !== key)),
        );
        made.append(element("span", {}, element("bdi", {}, cell), " ", element("span", { class: "pale" }, element("bdi", {}, `${run}${ended === "ok" ? "" : ` · ${ended}`}`))));
        return element("li", {}, made);
      }),
    );
    if (lines.length > MOST_OFFERED) offered.append(element("li", { class: "pale" }, `and ${lines.length - MOST_OFFERED} more: add words`));
    if (!lines.length) offered.append(element("li", { class: "pale" }, "No cell has these words."));
  }

  function choose(keys) {
    state.chosen = keys.slice(0, MOST_CHOSEN);
    history.replaceState(null, "", keys.length ? `#cells=${state.chosen.join(",")}` : location.pathname);
    show(keys.length > MOST_CHOSEN ? `At most ${MOST_CHOSEN} cells can be compared.` : "");
    offer();
  }

  async function show(message) {
    const wanted = [...state.chosen];
    const found = await Promise.all(wanted.map((key) => load(`runs/${key}.js`)));
    if (wanted.join() !== state.chosen.join()) return; // the reader has gone on
    const cells = wanted.map((key) => genbenchBoard.cells.get(key)).filter(Boolean);
    const missing = wanted.filter((key, number) => !found[number] || !genbenchBoard.cells.has(key));
    status.textContent = [message, missing.length ? `Not on this board: ${missing.join(", ")}` : ""].filter(Boolean).join(" ");
    chosenList.replaceChildren(
      ...cells.map((cell) =>
        element(
          "li",
          {},
          element("a", { href: `${boardRoot()}runs/${cell.key}.html` }, element("bdi", {}, cell.name)),
          " ",
          button("×", () => choose(state.chosen.filter((key) => key !== cell.key)), { "aria-label": `Remove ${cell.name}` }),
        ),
      ),
    );
    if (!cells.length) chosenList.append(element("li", { class: "pale" }, "Choose cells on the left."));
    for (const section of document.querySelectorAll("[data-needs-cells]")) section.hidden = !cells.length;
    for (const id of ["table", "frontier", "curve-chart", "sample-viewer", "pictures"]) {
      const old = document.getElementById(id);
      old.replaceWith(old.cloneNode(false)); // what the last choice has registered goes with its elements
    }
    if (!cells.length) return;
    const page = pageOf(cells);
    document.getElementById("pictures").replaceChildren(...page.cells.map(pictures));
    mount(page);
  }

  function pictures(cell) {
    const figures = Object.entries(cell.pictures).map(([kind, path]) =>
      element("figure", { "data-picture": kind }, element("img", { src: `${boardRoot()}${path}`, alt: `${cell.name}: ${kind}` })),
    );
    return element("article", { id: cell.anchor }, figures);
  }

  function chosenInAddress() {
    const text = location.hash.startsWith("#cells=") ? location.hash.slice(7) : "";
    return [...new Set(text.split(",").filter((key) => /^[a-z0-9-]+\/[a-z0-9-]+$/.test(key)))].slice(0, MOST_CHOSEN);
  }

  function start() {
    state.chosen = chosenInAddress();
    show("");
    offer();
  }

  addEventListener("hashchange", () => {
    if (location.hash.startsWith("#cells=")) start();
  });
  start();
}

document.addEventListener("DOMContentLoaded", () => {
  for (const part of document.querySelectorAll("a[data-needs-scripts]")) part.hidden = false;
  const holder = document.getElementById("chooser");
  if (holder) comparison(holder);
  const cell = genbenchBoard.cells.get(document.body.dataset.cell);
  if (cell) mount(pageOf([cell]));
});
