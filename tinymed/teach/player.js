// Draws a trace and steps through it. player.py puts memory.js before this and says which `id`, and its `css`.

const PAGE = 32; // rows and columns drawn at a time of what is larger

function element(tag, name, text) {
  const made = document.createElement(tag);
  if (name) made.className = name;
  if (text !== undefined) made.textContent = text;
  return made;
}

// ------------------------------------------------------------ one array as a table

function matrix([name, shape, values, born]) {
  const axes = shape.map((_, k) => k);
  const long = axes.filter((k) => shape[k] > 1);
  const kept = shape.length <= 2 ? axes : [...axes.filter((k) => shape[k] === 1), ...long].slice(-2).sort((a, b) => a - b);
  const [row, column] = kept.length === 2 ? kept : [-1, ...kept];
  const stride = shape.map((_, k) => shape.slice(k + 1).reduce((a, b) => a * b, 1));
  const size = (axis) => (axis === undefined || axis < 0 ? 1 : shape[axis]);
  const at = (cell, axis) => (size(axis) > 1 ? Math.floor(cell / stride[axis]) % shape[axis] : 0);
  const rows = Math.min(size(row), PAGE), columns = Math.min(size(column), PAGE);

  const figure = element("figure");
  const caption = figure.appendChild(element("figcaption"));
  const box = figure.appendChild(element("div", "box"));
  const table = box.appendChild(element("table"));
  const line = (cells) => table.appendChild(element("tr")).append(...cells);
  const many = (n, tag) => Array.from({ length: n }, () => element(tag));
  const heads = many(columns, "th"), sides = many(rows, "th"), body = many(rows * columns, "td");
  if (columns > 1) line([...(rows > 1 ? [element("th")] : []), ...heads]);
  for (let r = 0; r < rows; r++) {
    line([...(rows > 1 ? [sides[r]] : []), ...body.slice(r * columns, (r + 1) * columns)]);
  }
  figure.dataset.name = name;

  /** Draw the slice that holds the cell in focus. */
  function draw(now, written, focus, marks) {
    const cell = Math.max(focus, 0);
    const top = at(cell, row) - (at(cell, row) % PAGE), left = at(cell, column) - (at(cell, column) % PAGE);
    const base = shape.reduce((sum, _, k) => sum + (kept.includes(k) ? 0 : at(cell, k) * stride[k]), 0);
    const index = shape.map((n, k) => {
      if (!kept.includes(k)) return at(cell, k);
      const from = k === row ? top : left;
      return n > PAGE ? `${from}:${Math.min(from + PAGE, n)}` : ":";
    });
    caption.textContent = index.every((k) => k === ":") ? name : `${name}[${index.join(",")}]`;
    heads.forEach((head, c) => (head.textContent = left + c));
    sides.forEach((side, r) => (side.textContent = top + r));
    body.forEach((td, k) => {
      const r = top + Math.floor(k / columns), c = left + (k % columns);
      const id = base + (row >= 0 ? r * stride[row] : 0) + (column >= 0 ? c * stride[column] : 0);
      td.hidden = r >= size(row) || c >= size(column);
      if (td.hidden) return;
      const filled = !born || written[id] > 0;
      const text = filled ? shown(now[id]) : "";
      const mark = marks.get(id) || (filled ? "" : "empty");
      td.dataset.cell = id;
      if (td.textContent !== text) td.textContent = text;
      if (td.className !== mark) td.className = mark;
    });
    const active = body.find((td) => td.className === "write") || body.find((td) => td.className === "read");
    if (active && box.scrollWidth > box.clientWidth) {
      const middle = active.offsetLeft + active.offsetWidth / 2;
      if (active.offsetLeft < box.scrollLeft || active.offsetLeft + active.offsetWidth > box.scrollLeft + box.clientWidth) {
        box.scrollLeft = middle - box.clientWidth / 2;
      }
    }
  }
  return { figure, draw };
}

// ------------------------------------------------------------ the player

function player(host) {
  const data = JSON.parse(host.querySelector('script[type="application/json"]').textContent);
  const shadow = host.attachShadow({ mode: "open" });
  const n = data.steps.length;
  const { now, written, groups, go } = memory(data);
  const seen = attention(data), sections = sectionsOf(data);
  let k = -1, timer = 0;

  shadow.appendChild(element("style", "", css));
  const root = shadow.appendChild(element("section", "player"));
  root.tabIndex = 0;
  root.setAttribute("role", "group");
  root.setAttribute("aria-label", data.title);
  const head = root.appendChild(element("header"));
  head.appendChild(element("strong", "title", data.title));
  const phase = head.appendChild(element("span", "phase"));
  const count = head.appendChild(element("span", "count"));

  const timeline = root.appendChild(element("nav", "timeline"));
  timeline.setAttribute("aria-label", say.sections);
  const chips = sections.map(({ phase, twin, start, stop }) => {
    const chip = timeline.appendChild(element("button", `chip ${phase}`));
    chip.append(element("small", "", say[phase] || phase), element("span", "", twin));
    chip.title = say.range(start + 1, stop);
    chip.onclick = () => show(start + 1);
    return chip;
  });

  const slider = root.appendChild(element("input"));
  Object.assign(slider, { type: "range", min: 0, max: n, step: 1 });
  slider.setAttribute("aria-label", say.position);
  slider.oninput = () => show(Number(slider.value));

  const result = (by) => {
    const begins = data.starts.map((start) => start + 1);
    return by > 0 ? begins.find((b) => b > k) ?? n : begins.reverse().find((b) => b < k) ?? 0;
  };
  const bar = root.appendChild(element("div", "buttons"));
  const button = (name, act) => {
    const made = bar.appendChild(element("button", name, say[name]));
    made.onclick = act;
    return made;
  };
  const leftmost = button("first", () => show(0));
  const back = button("back", () => show(k - 1));
  const next = button("next", () => show(k + 1));
  const rightmost = button("last", () => show(n));
  const playing = button("play", () => play(!timer));
  const fewer = button("previousResult", () => show(result(-1)));
  const further = button("nextResult", () => show(result(1)));

  const list = root.appendChild(element("dl"));
  const entry = (name, tag = "dd") => {
    list.appendChild(element("dt", "", say[name]));
    return list.appendChild(element("dd")).appendChild(element(tag === "dd" ? "div" : tag, name));
  };
  const formula = entry("formula"), code = entry("code"), cells = entry("cells", "code"), numbers = entry("numbers");
  const put = numbers.appendChild(element("code"));
  numbers.append(" ");
  const outcome = numbers.appendChild(element("output"));

  const grid = root.appendChild(element("div", "arrays"));
  const drawn = data.arrays.map((array) => matrix(array));
  grid.append(...drawn.map(({ figure }) => figure));
  const legend = root.appendChild(element("p", "legend"));
  for (const name of ["write", "read", "window", "empty"]) {
    const item = legend.appendChild(element("span"));
    item.append(element("i", name), say[name]);
  }
  legend.appendChild(element("span", "keys", say.keys));

  function marksAt(step) {
    const marks = data.arrays.map(() => new Map());
    const mark = (groups, name) => {
      for (const [a, ids] of groups) for (const cell of ids) marks[a].set(cell, name);
    };
    if (!step) return marks;
    const start = data.starts.filter((j) => j < k).pop();
    for (const before of data.steps.slice(start, k - 1)) mark(groups(before, 4), "window");
    mark(groups(step, 4), "read");
    mark(groups(step, 5), "write");
    return marks;
  }

  /** The state after `to` steps, and the last of them. */
  function show(to) {
    to = Math.min(Math.max(to, 0), n);
    if (to === k) return;
    go((k = to));
    const step = data.steps[k - 1];
    const [name, , source, line, f] = step ? data.lines[step[0]] : ["", "", "", "", -1];
    phase.textContent = say[name] || name;
    phase.className = `phase ${name}`;
    count.textContent = step ? say.step(k, n) : say.before;
    formula.innerHTML = step ? data.formulas[f][1] : "";
    code.replaceChildren(element("code", "", line), " ", element("small", "", source));
    cells.textContent = step ? step[1] : "";
    put.textContent = step ? step[2] : "";
    outcome.textContent = step ? `→ ${shown(step[3])}` : "";
    slider.value = k;
    slider.setAttribute("aria-valuetext", count.textContent);
    leftmost.disabled = back.disabled = fewer.disabled = k === 0;
    rightmost.disabled = next.disabled = further.disabled = k === n;
    const here = sections.findIndex(({ start, stop }) => k > start && k <= stop);
    chips.forEach((chip, s) => {
      chip.classList.toggle("past", s < here);
      if (s === here) chip.setAttribute("aria-current", "step");
      else chip.removeAttribute("aria-current");
    });
    if (here >= 0) timeline.scrollLeft = chips[here].offsetLeft - timeline.clientWidth / 2 + chips[here].offsetWidth / 2;
    const of = sections.slice(Math.max(here, 0)).find((s, j, rest) => !rest[j + 1] || rest[j + 1].phase !== s.phase);
    const marks = marksAt(step);
    drawn.forEach(({ figure, draw }, a) => {
      figure.hidden = seen[a].first >= (of ? of.stop : n); // met in a later phase only
      if (!figure.hidden) draw(now[a], written[a], seen[a].cell[k], marks[a]);
    });
    if (k === n) play(false);
    host.dataset.step = k;
  }

  function play(on) {
    clearInterval(timer);
    timer = on ? setInterval(() => (host.isConnected ? show(k + 1) : play(false)), 700) : 0;
    if (on && k === n) show(0);
    playing.textContent = on ? say.pause : say.play;
    outcome.setAttribute("aria-live", on ? "off" : "polite");
  }

  const keys = {
    ArrowLeft: () => show(k - 1), ArrowRight: () => show(k + 1),
    ArrowUp: () => show(result(-1)), ArrowDown: () => show(result(1)),
    PageUp: () => show(result(-1)), PageDown: () => show(result(1)),
    Home: () => show(0), End: () => show(n), " ": () => play(!timer),
  };
  const alone = "alone" in host.dataset;
  (alone ? document : root).addEventListener("keydown", (event) => {
    const onButton = event.composedPath()[0].tagName === "BUTTON";
    if (event.ctrlKey || event.altKey || event.metaKey || !keys[event.key] || (event.key === " " && onButton)) return;
    event.preventDefault();
    event.stopPropagation();
    keys[event.key]();
  });

  function dress() {
    const { theme, jpThemeLight } = document.body.dataset;
    const asked = matchMedia("(prefers-color-scheme: dark)").matches;
    const dark = jpThemeLight ? jpThemeLight === "false" : theme === "dark" || (theme !== "light" && asked);
    root.classList.toggle("dark", dark);
  }
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", dress);
  new MutationObserver(dress).observe(document.body, { attributes: true });
  root.classList.toggle("present", new URLSearchParams(location.search).has("present"));
  dress();
  play(false);
  show(Math.min(n, 1));
}

for (const host of document.querySelectorAll(`[id="${id}"]`)) if (!host.shadowRoot) player(host);
