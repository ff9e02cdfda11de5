// Light and dark: as the system asks, or as the reader chooses.

const THEMES = ["auto", "light", "dark"];
const DASHES = [undefined, [8, 4], [2, 3], [8, 3, 2, 3]];

function themeButton() {
  let stored = "auto";
  try {
    stored = localStorage.getItem("genbench-theme") ?? "auto";
  } catch {
    // Storage is blocked: the choice lasts as long as the page.
  }
  let current = THEMES.includes(stored) ? stored : "auto";
  const made = button("", () => {
    current = THEMES[(THEMES.indexOf(current) + 1) % THEMES.length];
    try {
      localStorage.setItem("genbench-theme", current);
    } catch {
      // as above
    }
    apply();
  });
  function apply() {
    if (current === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = current;
    made.textContent = `Theme: ${current}`;
    document.dispatchEvent(new Event("themechange"));
  }
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", apply);
  apply();
  return made;
}

function themeColour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

function seriesColour(number) {
  return themeColour(`series-${number % SERIES_COLOURS}`);
}

function seriesDash(number) {
  return DASHES[Math.floor(number / SERIES_COLOURS) % DASHES.length];
}

function faded(colour, opacity) {
  return `${colour}${Math.round(255 * opacity).toString(16).padStart(2, "0")}`; // colours are written as #rrggbb
}

// A small picture of how a series is drawn, for legends.
function swatch(number) {
  const made = element("span", { class: "swatch", "aria-hidden": "true" });
  made.style.borderTopColor = `var(--series-${number % SERIES_COLOURS})`;
  made.style.borderTopStyle = ["solid", "dashed", "dotted", "double"][Math.floor(number / SERIES_COLOURS) % 4];
  return made;
}
