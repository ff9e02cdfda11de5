// The pages of the cells: only those that pass the table's filters, opened where a link leads to one.

function cellPages(page) {
  const copies = document.querySelectorAll("[data-copy]");
  for (const made of copies) {
    const status = element("span", { class: "pale", role: "status" });
    made.after(button("Copy", () => copyText(made.textContent, status), { "aria-label": "Copy the command" }), status);
  }

  function filter() {
    const shown = new Set([...page.visible].flatMap((row) => page.table.rows[row].cells));
    page.cells.forEach((cell, number) => {
      document.getElementById(cell.anchor).hidden = !shown.has(number);
    });
  }

  function open() {
    const found = location.hash.startsWith("#cell-") ? document.getElementById(location.hash.slice(1)) : null;
    if (!found) return;
    found.hidden = false;
    const details = found.querySelector("details.about");
    if (details) details.open = true;
    found.scrollIntoView();
  }

  addEventListener("hashchange", open);
  page.onChange(filter);
  filter();
  open();
}
