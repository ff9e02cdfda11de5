// Samples of all drawn cells side by side. During training, one slider moves all of them; it follows the curves' cursor.

const GRID_COLUMNS = 8; // of the pictures of held-out images and reconstructions
const GRID_MARGIN = 2;
const VIEWS = {
  training: "samples during training",
  samples: "final samples",
  reconstructions: "held-out images and reconstructions",
  closest: "samples closest to training images",
  interpolation: "interpolation between latents",
};

function sampleViewer(holder, page) {
  const state = { view: null, place: 0, share: 0.5, timer: null };
  const controls = element("div", { class: "toolbar" });
  const grid = element("div", { class: "figures" });
  const about = element("p", { class: "caption" });
  const images = new Map();
  holder.replaceChildren(controls, grid, about);

  function source(cell, kind) {
    return document.querySelector(`#${CSS.escape(page.cells[cell].anchor)} figure[data-picture="${kind}"] img`)?.src;
  }

  // The picture once it has been decoded, or null while it has not.
  function picture(cell, kind, ready) {
    const key = `${kind}-${cell}`;
    if (!images.has(key)) {
      const entry = { image: null };
      images.set(key, entry);
      const image = new Image();
      image.src = source(cell, kind);
      image.decode().then(() => {
        entry.image = image;
        ready();
      }, () => {});
    }
    return images.get(key).image;
  }

  function cells() {
    return page.drawnRows().flatMap((row) => row.cells);
  }

  function available() {
    return Object.keys(VIEWS).filter((kind) => cells().some((cell) => has(cell, kind)));
  }

  function has(cell, kind) {
    return Boolean(source(cell, kind)) && (kind !== "training" || Boolean(page.cells[cell].training));
  }

  // Every point of training at which some drawn cell has samples, on the axis of the slider.
  function positions() {
    const found = new Set(cells().filter((cell) => has(cell, "training")).flatMap((cell) => page.cells[cell].training[axis()]));
    return [...found].sort((a, b) => a - b);
  }

  function axis() {
    return page.position?.axis ?? "images";
  }

  function show() {
    stop();
    const views = available();
    if (!views.length) {
      controls.replaceChildren();
      grid.replaceChildren();
      about.textContent = cells().length ? "No pictures are stored for these cells." : "Tick cells in the table above to see their samples.";
      return;
    }
    if (!views.includes(state.view)) state.view = views[0];
    about.textContent = "";
    const extra = { training: trainingControls, reconstructions: shareControl }[state.view]?.() ?? [];
    controls.replaceChildren(chooser("Show", views.map((view) => [view, VIEWS[view]]), state.view, (view) => {
      state.view = view;
      show();
    }), ...extra);
    grid.replaceChildren(...cells().map((cell) => tile(cell)));
    paint();
  }

  function trainingControls() {
    const all = positions();
    state.place = page.position ? lastUpTo(all, page.position.x) : all.length - 1;
    const slider = element("input", {
      type: "range", min: "0", max: String(Math.max(all.length - 1, 0)), step: "1", "aria-label": "point in training",
      oninput: () => move(Number(slider.value)),
    });
    slider.value = String(state.place);
    const label = element("output", {});
    const player = button("Play", () => {
      if (state.timer !== null) return stop();
      player.textContent = "Stop";
      if (Number(slider.value) >= all.length - 1) move(0);
      state.timer = setInterval(() => {
        if (Number(slider.value) >= all.length - 1) stop();
        else move(Number(slider.value) + 1);
      }, 400);
      return undefined;
    });
    function move(place) {
      slider.value = String(place);
      page.setPosition(axis(), all[place], "slider");
    }
    state.follow = () => {
      if (!page.position || state.view !== "training") return;
      const now = positions();
      slider.max = String(Math.max(now.length - 1, 0));
      slider.value = String(lastUpTo(now, page.position.x));
      caption();
      paint();
    };
    function caption() {
      const x = page.position?.x ?? all[state.place];
      label.textContent = x === undefined ? "" : `${compact(Math.round(x))} ${page.axes[axis()]}`;
      slider.setAttribute("aria-valuetext", label.textContent);
    }
    state.stopPlayer = () => {
      player.textContent = "Play";
    };
    caption();
    return [player, element("label", { class: "control wide-control" }, "Training", slider), label];
  }

  function stop() {
    if (state.timer !== null) clearInterval(state.timer);
    state.timer = null;
    state.stopPlayer?.();
  }

  function shareControl() {
    const slider = element("input", {
      type: "range", min: "0", max: "1", step: "0.01", "aria-label": "share of each picture that shows the originals",
      oninput: () => {
        state.share = Number(slider.value);
        paint();
      },
    });
    slider.value = String(state.share);
    return [element("label", { class: "control wide-control" }, "originals", slider, "reconstructions")];
  }

  function tile(cell) {
    const caption = element("figcaption", {}, swatch(page.cellColour(cell)), element("a", { href: `#${page.cells[cell].anchor}` }, element("bdi", {}, page.cells[cell].short)), element("span", { class: "pale", "data-note": "" }));
    const url = source(cell, state.view);
    const name = `${page.cells[cell].short}: ${VIEWS[state.view]}`;
    let content;
    if (!url || !has(cell, state.view)) content = element("p", { class: "pale" }, "none stored");
    else if (state.view === "training" || (state.view === "reconstructions" && splits(cell))) content = element("canvas", { role: "img", "aria-label": name });
    else content = element("img", { src: url, alt: name });
    return element("figure", { "data-cell": String(cell) }, content, caption);
  }

  function splits(cell) {
    return page.cells[cell].shape[1] > 1 && page.cells[cell].shape[2] > 1;
  }

  function paint() {
    for (const figure of grid.children) {
      const canvas = figure.querySelector("canvas");
      if (!canvas) continue;
      const cell = Number(figure.dataset.cell);
      const image = picture(cell, state.view, paint);
      if (!image) continue;
      if (state.view === "training") paintFrame(canvas, image, page.cells[cell].training, figure.querySelector("[data-note]"));
      else paintSplit(canvas, image, page.cells[cell].shape);
    }
  }

  function paintFrame(canvas, image, sheet, note) {
    const x = page.position?.x ?? Infinity;
    const frame = lastUpTo(sheet[axis()], x);
    const [width, height] = [sheet.columns * sheet.width, sheet.rows * sheet.height];
    const scale = image.naturalWidth / width; // a sheet that was too large for the page is smaller here
    resize(canvas, width, height).drawImage(image, 0, frame * height * scale, width * scale, height * scale, 0, 0, canvas.width, canvas.height);
    note.textContent = ` after ${compact(sheet.images[frame])} images`;
  }

  // Rows of originals stand above rows of reconstructions; the share decides which of the two each pixel shows.
  function paintSplit(canvas, image, [, tall, wide]) {
    const [width, height] = [wide + GRID_MARGIN, tall + GRID_MARGIN];
    const across = GRID_COLUMNS * width + GRID_MARGIN;
    const scale = image.naturalWidth / across;
    const rows = Math.floor((image.naturalHeight / scale - GRID_MARGIN) / height / 2);
    const context = resize(canvas, across, rows * height + GRID_MARGIN);
    const zoom = canvas.width / across;
    const border = Math.round(canvas.width * (1 - state.share));
    for (const [first, left, right] of [[0, 0, border], [1, border, canvas.width]]) {
      if (right <= left) continue;
      context.save();
      context.beginPath();
      context.rect(left, 0, right - left, canvas.height);
      context.clip();
      for (let row = 0; row < rows; row++) {
        const from = (2 * row + first) * height * scale;
        context.drawImage(image, 0, from, across * scale, height * scale, 0, row * height * zoom, canvas.width, height * zoom);
      }
      context.restore();
    }
    context.fillStyle = seriesColour(1);
    context.fillRect(border - 1, 0, 2, canvas.height);
  }

  function resize(canvas, width, height) {
    const zoom = Math.max(1, Math.round(320 / width));
    canvas.width = width * zoom;
    canvas.height = height * zoom;
    const context = canvas.getContext("2d");
    context.imageSmoothingEnabled = false;
    return context;
  }

  page.onChange(show);
  page.onPosition(() => state.follow?.());
  show();
}
