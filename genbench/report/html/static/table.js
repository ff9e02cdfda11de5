// The comparison table: sorting, filters, columns, and copies for other programs. `page.visible` holds the rows that
// pass the filters, `page.drawn` those among them whose check boxes put them into the charts.

const MOST_ROWS = 500;
const MOST_DRAWN = 12;
const MOST_OPTIONS = 40;

function comparisonTable(holder, page) {
  const state = { sort: null, descending: false, words: "", filters: new Map(), references: true, all: false };
  let columns = new Set();
  let listed = []; // the rows in the order in which they are shown
  const numbers = new Map(); // of the footnotes that are shown, by their marks

  const body = element("tbody");
  const head = element("thead");
  const scroller = element(
    "div",
    { class: "wide", tabindex: "0", role: "region", "aria-label": "Comparison table" },
    element("table", { class: "comparison" }, head, body),
  );
  const caption = element("p", { class: "caption" });
  const notes = element("ul", { class: "footnotes" });
  const status = element("p", { class: "pale", role: "status" });
  const filters = element("span", { class: "filters" });
  const columnList = element("div", { class: "columns" });
  const search = element("input", { type: "search", placeholder: "text in any column", oninput: () => filter() });
  const toolbar = element(
    "div",
    { class: "toolbar" },
    page.tables.length > 1 &&
      chooser(
        "Rows",
        page.tables.map((table, number) => [number, table.title]),
        0,
        (number) => page.showTable(Number(number)),
      ),
    element("label", { class: "control" }, "Filter", search),
    filters,
    checkbox("reference rows", true, (checked) => {
      state.references = checked;
      fill();
    }),
    element("details", { class: "menu" }, element("summary", {}, "Columns"), columnList),
    element(
      "details",
      { class: "menu" },
      element("summary", {}, "Copy"),
      element(
        "div",
        {},
        Object.keys(COPY_FORMATS).map((format) => button(`Copy as ${format}`, () => copyTable(format))),
      ),
    ),
    element("span", { class: "control" }, "In the charts:", button("all", () => draw(true)), button("none", () => draw(false))),
  );
  holder.replaceChildren(caption, toolbar, scroller, status, notes);

  function table() {
    return page.table;
  }

  function rows() {
    return table().rows;
  }

  function start() {
    state.sort = null;
    state.all = false;
    state.filters.clear();
    const named = table().columns.some((column) => column.key === "model" && column.shown);
    columns = new Set(table().columns.filter((c) => c.shown && !(named && c.key === "model")).map((c) => c.key));
    makeFilters();
    makeColumnList();
    filter();
  }

  function makeFilters() {
    filters.replaceChildren();
    table().columns.forEach((column, place) => {
      if (!column.setting || column.key === "seed") return;
      const values = new Set(rows().filter((row) => row.kind === "cell").map((row) => row.values[place]?.[0] ?? ""));
      if (values.size < 2 || values.size > MOST_OPTIONS || !(column.shown || column.key === "model")) return;
      const options = [["", "any"], ...[...values].map((value) => [`=${value}`, value || "–"])];
      filters.append(
        chooser(column.key, options, "", (value) => {
          if (value) state.filters.set(place, value.slice(1));
          else state.filters.delete(place);
          filter();
        }),
      );
    });
  }

  function makeColumnList() {
    columnList.replaceChildren(
      ...table().columns.map((column) =>
        checkbox(column.heading, columns.has(column.key), (checked) => {
          if (checked) columns.add(column.key);
          else columns.delete(column.key);
          fill();
        }),
      ),
    );
  }

  function filter() {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const visible = new Set();
    rows().forEach((row, number) => {
      if (row.kind !== "cell") return;
      for (const [place, wanted] of state.filters) if ((row.values[place]?.[0] ?? "") !== wanted) return;
      const text = words.length ? [row.name, ...row.values.map((value) => value?.[0] ?? "")].join(" ").toLowerCase() : "";
      if (words.every((word) => text.includes(word))) visible.add(number);
    });
    page.visible = visible;
    fill();
    page.changed();
  }

  function draw(checked) {
    page.drawn = new Set(checked ? page.visible : []);
    for (const box of body.querySelectorAll("input")) box.checked = checked;
    page.changed();
  }

  function sortBy(key) {
    if (state.sort === key) state.descending = !state.descending;
    else [state.sort, state.descending] = [key, false];
    fill();
    head.querySelector(`button[data-key="${CSS.escape(key)}"]`)?.focus();
  }

  function shownColumns() {
    return table().columns.map((column, place) => ({ ...column, place })).filter((column) => columns.has(column.key));
  }

  function ordered() {
    const cells = rows().map((row, number) => ({ row, number })).filter(({ number }) => page.visible.has(number));
    if (state.sort !== null) {
      const place = state.sort === "" ? -1 : table().columns.findIndex((column) => column.key === state.sort);
      const value = ({ row }) => (place < 0 ? row.name : (row.values[place]?.[1] ?? null));
      const sign = state.descending ? -1 : 1;
      cells.sort((one, other) => {
        const [a, b] = [value(one), value(other)];
        if (a === null || b === null) return (a === null) - (b === null); // missing values come last
        if (typeof a === "number" && typeof b === "number") return sign * (a - b);
        return sign * String(a).localeCompare(String(b), "en", { numeric: true });
      });
    }
    return cells;
  }

  function fill() {
    const shown = shownColumns();
    listed = ordered();
    const references = state.references ? rows().map((row, number) => ({ row, number })).filter(({ row }) => row.kind !== "cell") : [];
    numbers.clear();
    const limited = state.all ? listed : listed.slice(0, MOST_ROWS);
    head.replaceChildren(
      element(
        "tr",
        {},
        heading("", page.table.title === "each cell" ? "cell" : "cells", false),
        shown.map((column) => heading(column.key, column.heading, column.numeric)),
      ),
    );
    body.replaceChildren(...[...limited, ...references].map(({ row, number }) => bodyRow(row, number, shown)));
    caption.textContent = table().caption;
    const entries = [...numbers].map(([mark, number]) => [number, table().footnotes[mark]]);
    if (body.querySelector(".best")) entries.push(["bold", table().best]);
    const lettered = rows().some((row) => row.values.some((value) => value?.[3]));
    if (table().letters && (!lettered || body.querySelector(".letters"))) entries.push(["letters", table().letters]);
    notes.replaceChildren(...entries.map(([mark, text]) => element("li", {}, element("sup", {}, mark), ` ${text}`)));
    const total = rows().filter((row) => row.kind === "cell").length;
    status.replaceChildren(listed.length === total ? `${total} rows` : `${listed.length} of ${total} rows`);
    if (limited.length < listed.length) {
      status.append(
        `, the first ${limited.length} shown `,
        button("Show all", () => {
          state.all = true;
          fill();
        }),
      );
    }
  }

  function heading(key, text, numeric) {
    const sorted = state.sort === key ? (state.descending ? "descending" : "ascending") : "none";
    const arrow = { ascending: " ▲", descending: " ▼", none: "" }[sorted];
    return element(
      "th",
      { scope: "col", "aria-sort": sorted, class: numeric ? "number" : undefined },
      button(text, () => sortBy(key), { "data-key": key }),
      element("span", { "aria-hidden": "true" }, arrow),
    );
  }

  function bodyRow(row, number, shown) {
    return element(
      "tr",
      { class: row.kind },
      element("th", { scope: "row" }, row.kind === "cell" ? rowName(row, number) : row.name),
      shown.map((column) => {
        const value = row.values[column.place];
        const best = row.best.includes(column.key);
        const classes = [column.numeric && "number", best && "best"].filter(Boolean).join(" ");
        return element(
          "td",
          { class: classes || undefined, title: best ? table().best : undefined },
          value?.[0] ?? "–",
          value?.[3] ? element("sup", { class: "letters", title: table().letters }, value[3]) : null,
          best ? element("span", { class: "hidden" }, " (best)") : null,
          value?.[2]?.length ? element("sup", {}, value[2].map(numbered).join(", ")) : null,
        );
      }),
    );
  }

  // Footnotes are numbered in the order in which they are shown; a dagger stays one.
  function numbered(mark) {
    if (!numbers.has(mark)) numbers.set(mark, mark === "†" ? mark : String([...numbers.keys()].filter((one) => one !== "†").length + 1));
    return numbers.get(mark);
  }

  function rowName(row, number) {
    const box = element("input", {
      type: "checkbox",
      "aria-label": `Show ${row.name} in the charts`,
      onchange: () => {
        if (box.checked) page.drawn.add(number);
        else page.drawn.delete(number);
        page.changed();
      },
    });
    box.checked = page.drawn.has(number);
    const link = element("a", { href: page.cellLink(row.cells[0]) }, row.name || "–");
    return element("span", { class: "row-name" }, box, swatch(page.rowColour(number)), element("bdi", {}, link));
  }

  function copyTable(format) {
    const shown = shownColumns();
    const references = state.references ? rows().filter((row) => row.kind !== "cell") : [];
    const lines = [...listed.map(({ row }) => row), ...references].map((row) => [
      row.name,
      ...shown.map((column) => {
        const [text, raw, , letters] = row.values[column.place] ?? ["", ""];
        return format === "CSV" ? (raw ?? "") : [text, letters].filter(Boolean).join(" ");
      }),
    ]);
    copyText(COPY_FORMATS[format](["cell", ...shown.map((c) => (format === "CSV" ? c.name : c.heading))], lines), status);
  }

  page.onTable(start);
  start();
}

const COPY_FORMATS = {
  Markdown(header, rows) {
    const special = new RegExp(MARKDOWN_SYMBOLS, "gu");
    const escaped = (text) => String(text).replace(special, "\\$&").replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
    const line = (fields) => `| ${fields.map(escaped).join(" | ")} |`;
    return [line(header), `|${header.map(() => "---|").join("")}`, ...rows.map(line)].join("\n") + "\n";
  },
  LaTeX(header, rows) {
    const escaped = (text) => [...String(text)].map((character) => LATEX_SYMBOLS[character] ?? character).join("");
    const line = (fields) => `${fields.map(escaped).join(" & ")} \\\\`;
    const columns = "l" + "r".repeat(header.length - 1);
    return [
      "% needs the package booktabs", `\\begin{tabular}{${columns}}`, "\\toprule", line(header), "\\midrule",
      ...rows.map(line), "\\bottomrule", "\\end{tabular}", "",
    ].join("\n");
  },
  CSV(header, rows) {
    const isFormula = (text) => /^[\t\r\n]/.test(text) || FORMULA_STARTS.some((start) => text.trimStart().startsWith(start));
    const safe = (value) => (typeof value === "string" && isFormula(value) ? `'${value}` : String(value));
    const quoted = (value) => (/[",\n\r]/.test(safe(value)) ? `"${safe(value).replace(/"/g, '""')}"` : safe(value));
    return [header, ...rows].map((fields) => fields.map(quoted).join(",")).join("\n") + "\n";
  },
};

// Copies to the clipboard; where the browser refuses, the text is shown, selected, to be copied by hand.
async function copyText(text, status) {
  try {
    await navigator.clipboard.writeText(text);
    status.textContent = "Copied.";
  } catch {
    const area = element("textarea", { rows: "8", readonly: true, "aria-label": "Table to copy" });
    area.value = text;
    status.replaceChildren("The browser refuses to copy; copy this text: ", area);
    area.select();
  }
}
