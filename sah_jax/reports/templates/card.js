// The card of a point: by hovering for as long as that lasts, by tap, click or Enter until it is closed.
const card = document.getElementById("card");
const NEAR = {mouse: 18, touch: 30};
const SAMPLES = 2, MOST_CHARACTERS = 150, MOST_PARTS = 4;
// Points so near each other, in pixels, are gone through by tapping again.
const SAME_PLACE = 4;
let current = null, pinned = false, leaving = 0;

const make = (tag, name, ...children) => {
  const node = document.createElement(tag);
  if (name) node.className = name;
  node.append(...children);
  return node;
};
const count = (number, unit) => `${number.toLocaleString("en")} ${unit}${number === 1 ? "" : "s"}`;
const cut = (text) => text.length > MOST_CHARACTERS ? `${[...text].slice(0, MOST_CHARACTERS).join("")} …` : text;
const terms = (pairs) => make("dl", "", ...pairs.flatMap(([key, ...value]) => [make("dt", "", key), make("dd", "", ...value)]));

// The bar and the samples stand in the program's entry, whose texts are taken as texts.
const ledgerOf = (entry) => {
  const bar = entry?.querySelector(".bar");
  if (!bar) return [];
  const fields = [...bar.querySelectorAll("rect")].sort((a, b) => b.getAttribute("width") - a.getAttribute("width"));
  const parts = fields.slice(0, MOST_PARTS).map((field) => {
    const swatch = make("span", "swatch");
    swatch.style.background = field.getAttribute("fill");
    return make("span", "part", swatch, cut(field.textContent));
  });
  if (fields.length > MOST_PARTS) parts.push(`and ${count(fields.length - MOST_PARTS, "more field")}`);
  return [bar.cloneNode(true), make("p", "parts", ...parts)];
};
const samplesOf = (entry) => [...entry?.querySelectorAll(".sample") ?? []].slice(0, SAMPLES).map((sample) =>
  make("div", "sample", ...[...sample.querySelectorAll("dt")].map((term) =>
    make("p", "", make("b", "", term.textContent), ` ${cut(term.nextElementSibling.textContent)}`))));

const fillCard = (point) => {
  const {row, chosen, panel} = point, place = at(point);
  const family = data.families[row.family], reported = row.status === "reported";
  const entry = reported ? null : document.getElementById(row.anchor);
  const close = make("button", "close", "×");
  close.setAttribute("aria-label", "Close");
  close.addEventListener("click", () => { current.node.focus(); closeCard(); });
  const head = make("h3", "", document.querySelector(`[data-family="${row.family}"] svg`).cloneNode(true), family.label);
  const said = [reported ? "reported, no file" : row.status, chosen ? "on the frontier" : "not on the frontier"];
  if (row.remark) said.push(row.remark);
  const pairs = [["Test score", make("span", "big", row.estimate)], ["Selection", row.selection],
    ["Length", make("span", "big", count(row.bits, "bit")), reported ? ` (${row.size})` : ` (${count(row.bits / 8, "byte")})`]];
  if (row.interval) pairs.splice(1, 0, [data.band.label, row.between]);
  if (row.scriptBits) pairs.push(["With script", `${count(row.bits + row.scriptBits, "bit")}, ${row.scriptBits.toLocaleString("en")} of them the script`]);
  const settings = [["seed", row.seed], ...row.settings].map(([key, value]) => `${key} ${value}`).join(", ");
  pairs.push(["Settings", cut(settings)]);
  const where = reported ? [["Reported", make("code", "", `${row.name}, no file`)]] : [["Point", make("code", "", row.name)],
    ["File", make("code", "", row.program)], ["sha256", make("code", "", row.sha256)]];
  const link = make("a", "go", reported ? "Its line in the table of points" : "Its full entry");
  link.href = `#${row.anchor}`;
  link.addEventListener("click", () => { closeCard(); if (location.hash === link.hash) unfold(); });
  card.replaceChildren(close, head, make("p", "note", `${data.tasks[panel.task]}, ${data.models[panel.model]}`),
    make("p", "", said.join(", "), place.length > 1 ? ` (${place.indexOf(point) + 1} of ${place.length} points here: tap again)` : ""),
    terms(pairs), ...ledgerOf(entry), ...samplesOf(entry), terms(where), link);
};

const showCard = (point, pin) => {
  clearTimeout(leaving);
  pinned = pin;
  if (current !== point) {
    current?.ring.remove();
    current = point;
    point.ring = draw(point.node.parentNode, "circle", {class: "ring", cx: point.x, cy: point.y, r: 8.5});
    point.panel.points.forEach((other) => other.node.setAttribute("tabindex", other === point ? 0 : -1));
    fillCard(point);
    card.hidden = false;
    card.scrollTop = 0;
  }
  const svg = point.panel.svg.getBoundingClientRect(), x = svg.left + point.x, y = svg.top + point.y;
  if (narrow.matches) {
    // What was tapped must not lie under the card, nor the rest of its panel if there is room above.
    const edge = card.getBoundingClientRect().top;
    if (pin) scrollBy(0, Math.max(0, y + 24 - edge, Math.min(svg.bottom - edge, svg.top - 8)));
    return;
  }
  const right = x + 16 + card.offsetWidth < document.documentElement.clientWidth;
  const top = Math.max(8, Math.min(y - card.offsetHeight / 3, innerHeight - card.offsetHeight - 8));
  card.style.left = `${scrollX + Math.max(8, right ? x + 16 : x - 16 - card.offsetWidth)}px`;
  card.style.top = `${scrollY + top}px`;
};

const closeCard = () => {
  clearTimeout(leaving);
  current?.ring.remove();
  current = null;
  pinned = false;
  card.hidden = true;
};
const leave = () => {
  clearTimeout(leaving);
  if (!pinned) leaving = setTimeout(closeCard, 350);
};

const at = (point) => point.panel.points.filter((other) => Math.hypot(other.x - point.x, other.y - point.y) <= SAME_PLACE);
const nearest = (panel, event, most) => {
  const box = panel.svg.getBoundingClientRect(), x = event.clientX - box.left, y = event.clientY - box.top;
  let found = null, least = most;
  for (const point of panel.points) {
    const distance = Math.hypot(point.x - x, point.y - y);
    // Later ones lie on top.
    if (distance <= least) [found, least] = [point, distance];
  }
  return found;
};

const attend = (panel) => {
  const {svg, points} = panel, inOrder = [...points].sort((a, b) => a.x - b.x || a.y - b.y);
  const first = inOrder.find((point) => point.chosen) ?? inOrder[0];
  first?.node.setAttribute("tabindex", 0);
  svg.addEventListener("pointermove", (event) => {
    if (event.pointerType !== "mouse" || pinned) return;
    const point = nearest(panel, event, NEAR.mouse);
    point ? showCard(point, false) : leave();
  });
  svg.addEventListener("pointerleave", leave);
  svg.addEventListener("click", (event) => {
    let point = nearest(panel, event, NEAR[event.pointerType] ?? NEAR.touch);
    if (!point) return closeCard();
    if (pinned && current && at(point).includes(current)) {
      const same = at(point);
      point = same[(same.indexOf(current) + 1) % same.length];
    }
    showCard(point, true);
  });
  inOrder.forEach((point, index) => {
    point.node.addEventListener("focus", () => { if (point.node.matches(":focus-visible")) showCard(point, false); });
    point.node.addEventListener("blur", leave);
    point.node.addEventListener("keydown", (event) => {
      const step = {ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1}[event.key];
      if (step) inOrder[index + step]?.node.focus();
      else if (event.key === "Enter" || event.key === " ") {
        showCard(point, true);
        card.querySelector(".go").focus();
      } else return;
      event.preventDefault();
    });
  });
};

card.addEventListener("pointerenter", () => clearTimeout(leaving));
card.addEventListener("pointerleave", leave);
addEventListener("keydown", (event) => { if (event.key === "Escape" && current) card.querySelector(".close").click(); });
document.querySelectorAll(".chip").forEach((chip) => chip.addEventListener("click", () => {
  chip.setAttribute("aria-pressed", chip.getAttribute("aria-pressed") === "false");
  drawFigure();
}));
Object.values(controls).forEach((control) => control?.addEventListener("change", drawFigure));
// On a phone one panel at a time.
if (narrow.matches) for (const select of [controls.task, controls.model]) if (select) select.value = 0;
let drawnWidth = 0;
new ResizeObserver(([{contentRect}]) => {
  if (Math.round(contentRect.width) === drawnWidth) return;
  drawnWidth = Math.round(contentRect.width);
  drawFigure();
}).observe(document.getElementById("panels"));
