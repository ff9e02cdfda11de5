// A page: its data, and what the reader has chosen. Each part registers what it does when the choice changes.

function makePage(data) {
  const listeners = { change: [], table: [], position: [] };
  const tell = (what, ...about) => listeners[what].forEach((listener) => listener(...about));
  let queued = false;
  const page = {
    ...data,
    table: data.tables[0],
    visible: new Set(),
    drawn: new Set(),
    position: null, // a point in training: {axis, x}
    onChange: (listener) => listeners.change.push(listener),
    onTable: (listener) => listeners.table.push(listener),
    onPosition: (listener) => listeners.position.push(listener),
    changed() {
      if (queued) return;
      queued = true;
      requestAnimationFrame(() => {
        queued = false;
        tell("change");
      });
    },
    showTable(number) {
      page.table = data.tables[number];
      page.drawn = firstRows();
      tell("table");
    },
    setPosition(axis, x, source) {
      if (page.position?.axis === axis && page.position.x === x) return;
      page.position = { axis, x };
      tell("position", source);
    },
    drawnRows: () => [...page.drawn].filter((row) => page.visible.has(row)).sort((a, b) => a - b).map((row) => page.table.rows[row]),
    cellColour: (cell) => colours[cell] ?? 0,
    rowColour: (row) => page.cellColour(page.table.rows[row].cells[0]),
    cellLink: (cell) => data.cells[cell].href ?? `#${data.cells[cell].anchor}`, // a page of its own, or a part of this one
    openCell(cell) {
      location.href = page.cellLink(cell);
    },
  };

  function firstRows() {
    return new Set(page.table.rows.map((row, number) => [row, number]).filter(([row]) => row.kind === "cell").slice(0, MOST_DRAWN).map(([, number]) => number));
  }

  // Cells that differ only in the seed share a colour: that of their row in the first table.
  const colours = [];
  data.tables[0].rows.filter((row) => row.kind === "cell").forEach((row, number) => {
    for (const cell of row.cells) colours[cell] = number;
  });
  page.drawn = firstRows();
  return page;
}

function mount(data) {
  const page = makePage(data);
  for (const section of document.querySelectorAll("[data-needs-scripts]")) section.hidden = false;
  const part = (id, make) => {
    const holder = document.getElementById(id);
    if (holder) make(holder, page);
  };
  part("table", comparisonTable);
  part("frontier", frontierChart);
  part("curve-chart", curveChart);
  part("sample-viewer", sampleViewer);
  cellPages(page);
  return page;
}

document.getElementById("theme")?.append(themeButton());
const embedded = document.getElementById("data");
if (embedded) mount(JSON.parse(embedded.textContent));
