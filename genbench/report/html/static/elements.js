// Elements, controls and numbers. Text is always text: nothing from the results is ever parsed as HTML.

function element(name, attributes, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (value === true) made.setAttribute(key, "");
    else made.setAttribute(key, value);
  }
  made.append(...children.flat(2).filter((child) => child !== null && child !== undefined && child !== false));
  return made;
}

function button(text, onclick, attributes) {
  return element("button", { type: "button", onclick, ...attributes }, text);
}

function checkbox(text, checked, changed) {
  const box = element("input", { type: "checkbox", onchange: () => changed(box.checked) });
  box.checked = checked;
  return element("label", { class: "control" }, box, text);
}

// `options` are pairs of a value and a text.
function chooser(text, options, selected, changed) {
  const list = element(
    "select",
    { onchange: () => changed(list.value) },
    options.map(([value, shown]) => element("option", { value }, shown)),
  );
  list.value = selected;
  return element("label", { class: "control" }, text, list);
}

function compact(number) {
  if (number === 0 || !Number.isFinite(number)) return String(number);
  const size = Math.abs(number);
  if (size >= 1e15 || size < 1e-4) return number.toExponential(2).replace(/\.?0+e/, "e");
  return number.toLocaleString("en", { maximumSignificantDigits: 4, ...(size >= 1e5 ? { notation: "compact" } : {}) });
}

// The place of the entry that is closest to `x` in an ascending list.
function nearest(list, x) {
  let low = 0;
  let high = list.length - 1;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (list[middle] <= x) low = middle;
    else high = middle;
  }
  return Math.abs(list[low] - x) <= Math.abs(list[high] - x) ? low : high;
}

// The place of the last entry that is not above `x` in an ascending list; the first entry if all are above.
function lastUpTo(list, x) {
  let found = 0;
  for (let place = 0; place < list.length && list[place] <= x; place++) found = place;
  return found;
}
