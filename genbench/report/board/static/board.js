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
  list([dataset, lines]) {
    this.lists.set(dataset, lines);
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
  const rows = cells.map((cell, number) => ({
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
  const table = { title: "each cell", caption: "", columns, rows, footnotes, best: "", ...frontiersOf(cells, columns) };
  return {
    axes: cells[0].axes,
    tables: [table],
    cells: cells.map((cell, number) => ({
      ...cell,
      anchor: `cell-${number + 1}`,
      href: `${boardRoot()}runs/${cell.key}.html`,
      name: names[number],
      short: names[number],
    })),
    pools: [],
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
    if (column.setting) column.shown = values(column.key).size > 1; // what differs is shown
    column.setting = FILTERED.includes(column.key);
  }
  const first = { numeric: false, setting: true, chart: "", direction: null };
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

function frontiersOf(cells, columns) {
  const axis = (column) => ({
    key: column.key,
    name: column.name,
    direction: column.direction,
    points: cells.flatMap((cell, number) => {
      const value = cell.values[column.key];
      return value && typeof value[1] === "number" ? [[number, ...value.slice(1)]] : [];
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
        const cell = cells[row];
        const key = [cell.groups[quality.key], cell.groups[speed.key] ?? ""].join(" ");
        if (!groups.has(key)) groups.set(key, []);
        groups.get(key).push({ row, x, y: heights.get(row) });
      }
      frontiers[quality.key][speed.key] = [...groups.values()].map((points) => ({
        dataset: cells[points[0].row].dataset,
        rows: points.map((point) => point.row),
        frontier: notBeaten(points.filter((point) => cells[point.row].status === "ok"), speed, quality),
      }));
    }
  }
  return { speeds, qualities, frontiers, references: {} };
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
    const [name, path] = datasets.find(([known]) => known === state.dataset);
    if (!(await load(path))) {
      offered.replaceChildren(element("li", {}, "The list of cells is missing: build the board again."));
      return;
    }
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const lines = genbenchBoard.lists.get(name).filter((line) => {
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
