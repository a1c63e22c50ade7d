// The figure: a panel for each task and model. What is on a frontier is in the page's data; here it is drawn.
const data = JSON.parse(document.getElementById("figure-data").textContent);
const panelTemplate = document.getElementById("panel");
const SVG = panelTemplate.content.querySelector("svg").namespaceURI;
const controls = Object.fromEntries(["task", "model", "script", "every", "others"].map((id) => [id, document.getElementById(id)]));
const narrow = matchMedia("(max-width: 40rem)");
const MARGIN = {left: 46, right: 10, top: 8, bottom: 38};
// Below the shortest file that holds anything the axis turns linear, so that the empty program has a place.
const LINEAR_BELOW = 8;
// Of a marker's 100 units, in pixels.
const SIZE = {chosen: 9.5, other: 6.5};
let panels = [];

const draw = (parent, tag, attributes, text) => {
  const node = parent.appendChild(document.createElementNS(SVG, tag));
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  if (text !== undefined) node.textContent = text;
  return node;
};
const on = (id) => controls[id] ? controls[id].checked : id !== "script";
const picked = (id) => controls[id] ? Number(controls[id].value) : -1;
const length = (row) => row.bits + (on("script") ? row.scriptBits : 0);
const place = (bits) => bits < LINEAR_BELOW ? 0.4 * bits / LINEAR_BELOW : 0.4 + Math.log10(bits / LINEAR_BELOW);
const isCounted = (row) => on("every") || row.main;
const fronts = () => data.fronts[`${on("script") ? "with" : "without"} scripts, ${on("every") ? "all" : "main"} methods`];
const superscript = (number) => [...String(number)].map((digit) => "⁰¹²³⁴⁵⁶⁷⁸⁹"[digit]).join("");

// The lengths that the panels of a task show, and the powers of ten among them.
const lengthScale = (rows) => {
  const lengths = rows.map(length), shortest = Math.min(...lengths), longest = Math.max(...lengths, 10);
  let left = place(Math.max(shortest, LINEAR_BELOW)) - 0.23, right = place(longest) + 0.34;
  const powers = Math.floor(right + Math.log10(LINEAR_BELOW) - 0.4) - Math.ceil(left + Math.log10(LINEAR_BELOW) - 0.4);
  if (shortest < LINEAR_BELOW) left = -0.15;
  else if (powers < 1) {
    // A reader needs two labelled ticks to see that the axis is logarithmic.
    left = place(10 ** Math.floor(Math.log10(shortest))) - 0.1;
    right = place(10 ** Math.max(2, Math.ceil(Math.log10(longest)))) + 0.1;
  }
  const ticks = shortest < LINEAR_BELOW ? [[0, "0"]] : [];
  for (let power = 1; place(10 ** power) <= right; power++) {
    if (place(10 ** power) >= left) ticks.push([place(10 ** power), `10${superscript(power)}`]);
  }
  return {left, right, ticks};
};

// The scores that the panels of a task show, with the ends of its bands, and round numbers among them.
const scoreScale = (rows, ends) => {
  const low = Math.min(0, ...ends, ...rows.map((row) => row.score - row.error));
  const high = Math.max(...ends, ...rows.map((row) => row.score + row.error));
  // Where nothing was learned yet, an axis to 1 shows points on a floor instead of noise.
  const span = high > 0 ? high - low : 1;
  const bottom = low - 0.05 * span, top = low + 1.1 * span, unit = 10 ** Math.floor(Math.log10(span / 6));
  const step = [1, 2, 5, 10].map((times) => times * unit).find((size) => size >= span / 6);
  const ticks = [];
  for (let count = Math.ceil(bottom / step); count * step <= top; count++) {
    ticks.push([count * step, (count * step).toFixed(Math.max(0, -Math.floor(Math.log10(step) + 1e-9)))]);
  }
  return {bottom, top, ticks};
};

const drawFrame = (svg, {x, y, width, height, across, up}) => {
  const bottom = height - MARGIN.bottom, right = width - MARGIN.right;
  const middle = (MARGIN.top + bottom) / 2;
  for (const [score, label] of up.ticks) {
    draw(svg, "line", {class: "gridline", x1: MARGIN.left, x2: right, y1: y(score), y2: y(score)});
    draw(svg, "text", {x: MARGIN.left - 6, y: y(score) + 4, "text-anchor": "end"}, label);
  }
  const wide = (right - MARGIN.left) / (across.right - across.left);
  const every = Math.max(1, Math.ceil(32 / wide));
  across.ticks.forEach(([at, label], index) => {
    const position = MARGIN.left + (at - across.left) * wide;
    draw(svg, "line", {class: "gridline", x1: position, x2: position, y1: MARGIN.top, y2: bottom});
    if (index % every === 0) draw(svg, "text", {x: position, y: bottom + 15, "text-anchor": "middle"}, label);
  });
  draw(svg, "path", {class: "axis", d: `M${MARGIN.left} ${MARGIN.top}V${bottom}H${right}`});
  draw(svg, "text", {x: (MARGIN.left + right) / 2, y: height - 6, "text-anchor": "middle"}, "Program length (bits)");
  draw(svg, "text", {transform: `translate(11 ${middle}) rotate(-90)`, "text-anchor": "middle"}, "Test score");
};

// A step for each point of a frontier: the test scores, which may fall, of what selection chose.
const stepsOf = ({chosen}, {x, width}) => chosen.map((number, index) => {
  const row = data.rows[number], next = data.rows[chosen[index + 1]];
  return {row, end: next ? x(next) : width - MARGIN.right, color: data.views[data.families[row.family].view]};
});

const drawBand = (svg, front, scale) => {
  for (const {row, end, color} of stepsOf(front, scale)) {
    if (!row.interval) continue;
    const start = scale.x(row), [low, high] = row.interval.map(scale.y);
    draw(svg, "path", {class: "band", d: `M${start} ${low}H${end}V${high}H${start}Z`, fill: color, "fill-opacity": data.band.opacity});
  }
};

const drawStairs = (svg, front, scale, ghost) => {
  const {x, y, width} = scale, steps = stepsOf(front, scale), end = width - MARGIN.right;
  steps.forEach((step, index) => {
    // The riser belongs to the point that it leads to; below the shortest program nothing is known.
    const from = steps[Math.max(index - 1, 0)].row;
    const d = `M${x(step.row)} ${y(from.score)}V${y(step.row.score)}H${step.end}`;
    draw(svg, "path", ghost ? {class: "ghost", d} : {class: "stair", d, stroke: step.color});
  });
  const last = steps.at(-1)?.row;
  // Above the line, and above the point where that is near.
  const above = last && end - x(last) < 45 ? 11 : 5;
  if (last && !ghost) draw(svg, "text", {class: "last", x: end, y: y(last.score) - above}, last.estimate.split(" ")[0]);
};

const drawMark = (svg, row, chosen, {x, y}) => {
  const family = data.families[row.family], verified = row.status === "verified", reported = row.status === "reported";
  const mark = draw(svg, "g", {
    class: "mark", role: "button", tabindex: -1, opacity: chosen || row.status === "not verified" ? 1 : reported ? 0.6 : 0.45,
    "aria-label": `${family.label}, ${length(row).toLocaleString("en")} bits, score ${row.estimate}, ${row.status}`});
  if (row.error) {
    const d = `M${x(row)} ${y(row.score - row.error)}V${y(row.score + row.error)}`;
    draw(mark, "path", {d, stroke: family.color, opacity: chosen ? 0.7 : 0.5});
  }
  const transform = `translate(${x(row)} ${y(row.score)}) scale(${(chosen ? SIZE.chosen : SIZE.other) / 100})`;
  const look = verified ? {fill: family.color, class: chosen ? "edged" : ""} :
    {fill: "none", stroke: family.color, "stroke-width": 1.1, class: reported ? "paper" : ""};
  draw(mark, "path", {d: family.whole, transform, ...look});
  if (reported) draw(mark, "path", {d: family.half, transform, fill: family.color});
  return mark;
};

const drawPanel = (panel, across, up) => {
  const {svg, task, model} = panel, width = panel.width;
  const height = Math.round(Math.min(Math.max(0.7 * width, 215), 380));
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  svg.setAttribute("height", height);
  svg.setAttribute("aria-label", `${data.tasks[task]}, ${data.models[model]}: points by length`);
  const wide = (width - MARGIN.left - MARGIN.right) / (across.right - across.left);
  const tall = (height - MARGIN.top - MARGIN.bottom) / (up.top - up.bottom);
  const round = (pixels) => Math.round(100 * pixels) / 100;
  const scale = {
    width, height, across, up,
    x: (row) => round(MARGIN.left + (place(length(row)) - across.left) * wide),
    y: (score) => round(MARGIN.top + (up.top - score) * tall)};
  const own = (front) => front.task === task && front.model === model;
  const front = fronts().find(own) ?? {chosen: []}, chosen = new Set(front.chosen);
  drawFrame(svg, scale);
  drawBand(svg, front, scale);
  if (on("others")) fronts().filter((other) => other.task === task && !own(other)).forEach((other) => drawStairs(svg, other, scale, true));
  const marks = draw(svg, "g", {class: "marks"});
  drawStairs(marks, front, scale, false);
  panel.views = front.chosen.map((number) => data.families[data.rows[number].family].view);
  const numbers = data.rows.flatMap((row, number) => row.task === task && row.model === model && isShown(row) ? [number] : []);
  // Those of the frontier last, so that they lie on top.
  numbers.sort((a, b) => chosen.has(a) - chosen.has(b) || a - b);
  panel.points = numbers.map((number) => {
    const row = data.rows[number];
    return {panel, row, chosen: chosen.has(number), x: scale.x(row), y: scale.y(row.score),
      node: drawMark(marks, row, chosen.has(number), scale)};
  });
  if (!panel.points.length) draw(svg, "text", {x: width / 2, y: height / 2, "text-anchor": "middle"}, "no points");
  attend(panel);
};

const isPressed = (selector) => document.querySelector(selector)?.getAttribute("aria-pressed") !== "false";
const isShown = (row) => isCounted(row) && isPressed(`[data-family="${row.family}"]`) &&
  isPressed(`[data-status="${row.status}"]`);

const drawFigure = () => {
  closeCard();
  const rows = data.rows.filter(isCounted), room = document.getElementById("panels");
  room.replaceChildren();
  panels = [];
  data.tasks.forEach((name, task) => {
    if (![-1, task].includes(picked("task"))) return;
    const grid = document.createElement("div"), heading = document.createElement("h3");
    grid.className = "grid";
    heading.textContent = name;
    data.models.forEach((model, index) => {
      const wanted = picked("model") === index;
      const held = rows.some((row) => row.task === task && row.model === index);
      if (!wanted && (picked("model") !== -1 || !held)) return;
      const figure = panelTemplate.content.firstElementChild.cloneNode(true);
      figure.querySelector("figcaption").textContent = model;
      grid.append(figure);
      panels.push({task, model: index, svg: figure.querySelector("svg"), points: [], views: []});
    });
    if (grid.childElementCount) room.append(heading, grid);
  });
  // All widths first: each is asked for once.
  for (const panel of panels) panel.width = Math.round(panel.svg.getBoundingClientRect().width);
  for (const panel of panels) {
    const own = rows.filter((row) => row.task === panel.task);
    const ends = fronts().filter((front) => front.task === panel.task)
      .flatMap((front) => front.chosen.flatMap((number) => data.rows[number].interval ?? []));
    if (own.length) drawPanel(panel, lengthScale(own), scoreScale(own, ends));
  }
  const drawn = new Set(panels.flatMap((panel) => panel.views));
  document.querySelectorAll("[data-view]").forEach((key) => { key.hidden = !drawn.has(key.dataset.view); });
};
