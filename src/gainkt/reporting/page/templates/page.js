"use strict";
// The page's own script. Names are data: they reach the page as text (textContent) only, never as markup.
(async () => {
const $ = (id) => document.getElementById(id);
const all = (selector, root = document) => [...root.querySelectorAll(selector)];
const el = (tag, content = "", more = {}) => {
  const made = Object.assign(document.createElement(tag), more);
  made.append(...[content].flat());
  return made;
};
const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const three = (x) => (Number.isFinite(x) ? x.toFixed(3) : "-");
const percent = (x) => (Number.isFinite(x) ? `${Math.round(100 * x)} %` : "-");

// Charts: drawn when they come near the window, in the page's colours.
const drawn = new Map();
function paint(doc) {
  const ink = css("--ink"), muted = css("--muted"), line = css("--line");
  for (const model of doc._all_models?.values() ?? []) {
    if (/Axis$/.test(model.type)) model.setv({axis_label_text_color: muted, major_label_text_color: muted, axis_line_color: line, major_tick_line_color: line});
    if (model.type === "Grid") model.setv({grid_line_color: line, grid_line_alpha: 0.6});
    if (model.tags?.includes("ink")) model.setv(model.type === "Scatter" ? {line_color: ink, fill_color: ink} : {line_color: ink});
  }
}
function draw(target) {
  if (!drawn.has(target)) {
    const item = JSON.parse($(target.dataset.chart).textContent);
    drawn.set(target, Bokeh.embed.embed_item(item, target).then((views) => {
      const doc = [...(views.roots ?? views)][0].model.document;
      paint(doc);
      return doc;
    }));
  }
  return drawn.get(target);
}
const near = new IntersectionObserver((seen) => seen.forEach((one) => one.isIntersecting && draw(one.target)), {rootMargin: "300px"});
const repaint = async () => { for (const doc of drawn.values()) paint(await doc); };
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", repaint);
matchMedia("print").addEventListener("change", repaint);
const chartOf = (id) => draw(document.querySelector(`[data-chart="chart-${id}"]`));

// Views, by the address's fragment, so that the browser's own ways back and forth work.
const shows = {};
function view() {
  const asked = location.hash.slice(1), target = asked ? $(asked) : null;
  const chosen = target?.closest(".view") ?? document.querySelector(".view");
  all(".view").forEach((one) => { one.hidden = one !== chosen; });
  all("[data-view]").forEach((link) => (link.dataset.view === chosen?.id ? link.setAttribute("aria-current", "page") : link.removeAttribute("aria-current")));
  shows[chosen?.id]?.();
  if (target && target !== chosen) target.scrollIntoView(); else if (asked) scrollTo(0, 0);
}
addEventListener("hashchange", view);

// Tables that a heading sorts; missing values stay last.
function arrow(heading, down) {
  all("th", heading.closest("tr")).forEach((th) => th.removeAttribute("aria-sort"));
  heading.setAttribute("aria-sort", down ? "descending" : "ascending");
}
function compare(a, b, down) {
  const gone = (x) => x === "" || x === "-" || Number.isNaN(x);
  if (gone(a) || gone(b)) return gone(a) - gone(b);
  const order = typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), undefined, {numeric: true});
  return down ? -order : order;
}
const value = (cell) => { const text = cell.dataset.value ?? cell.textContent.trim(), n = Number(text.replace(/[,%\s]/g, "")); return text !== "" && !Number.isNaN(n) ? n : text; };
for (const heading of all(".sortable thead th")) {
  heading.querySelector("button").addEventListener("click", () => {
    const down = heading.getAttribute("aria-sort") ? heading.getAttribute("aria-sort") === "ascending" : !heading.classList.contains("name");
    const at = heading.cellIndex, body = heading.closest("table").tBodies[0];
    body.append(...[...body.rows].map((row) => [value(row.cells[at]), row]).sort((a, b) => compare(a[0], b[0], down)).map((pair) => pair[1]));
    arrow(heading, down);
  });
}
async function copy(text, button) {
  const before = button.textContent;
  try { await navigator.clipboard.writeText(text); } catch {
    const area = el("textarea", "", {value: text});
    document.body.append(area); area.select(); document.execCommand("copy"); area.remove();
  }
  button.textContent = "Copied"; setTimeout(() => { button.textContent = before; }, 1500);
}
for (const button of all("[data-copy]")) button.addEventListener("click", () => copy($(button.dataset.copy).textContent, button));
for (const button of all("[data-copy-table]")) button.addEventListener("click", () => copy([...$(button.dataset.copyTable).rows].map((row) => [...row.cells].map((c) => c.textContent).join("\t")).join("\n"), button));
for (const cell of all(".heat td")) if (parseFloat(cell.style.getPropertyValue("--m")) > 0.5) cell.classList.add("dark");

// Columns of numbers: thousandths become numbers again, NaN where they are missing.
const TYPES = {u1: Uint8Array, u2: Uint16Array, u4: Uint32Array, i2: Int16Array};
async function unpack({columns, bytes}) {
  const packed = Uint8Array.from(atob(bytes), (c) => c.charCodeAt(0));
  const raw = await new Response(new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"))).arrayBuffer();
  const made = {};
  let at = 0;
  for (const [name, type, length] of columns) {
    made[name] = new TYPES[type](raw, at, length);
    at += made[name].byteLength;
  }
  return made;
}
const num = (x) => (x === -32768 ? NaN : x / 1000);

async function explore(data) {
  const C = await unpack(data.packed), S = data.students.length;
  const people = data.students.map((name, i) => ({i, name, steps: C.students_steps[i], skills: C.students_skills[i], ...Object.fromEntries(["right", "auc1", "auc2", "mastery"].map((k) => [k, num(C[`students_${k}`][i])]))}));
  const colours = JSON.parse($("looks").textContent);
  const look = (k) => ({colour: colours[k % colours.length], dash: ["solid", "dashed", "dotted", "dotdash"][Math.floor(k / colours.length) % 4]});
  const DASH = {solid: [], dashed: [6, 4], dotted: [2, 3], dotdash: [2, 3, 6, 3]};

  // Skills.
  async function showSkill(k, button) {
    all("#skill-table tr.chosen").forEach((row) => row.classList.remove("chosen"));
    button.closest("tr").classList.add("chosen");
    $("skill-name").textContent = data.skills[k];
    $("skill-parameters").textContent = button.dataset.parameters ? `Learnt: ${button.dataset.parameters}.` : "";
    const [from, to] = [C.curve_start[k], C.curve_start[k + 1]], column = (name) => Array.from(C[`curve_${name}`].subarray(from, to), num);
    const n = Array.from(C.curve_students.subarray(from, to)), initial = num(C.skills_initial[k]), start = from < to && Number.isFinite(initial);
    const before = (values, x) => (start ? [x, ...values] : values);
    $("skill-says").textContent = from < to ? `${n.length} opportunities shown; ${Math.max(...n)} students at the first of them, ${n.at(-1)} at the last.` : `No ${data.part} student practised this skill: there is no curve to show.`;
    const doc = await chartOf("skill");
    doc.get_model_by_name("curve").data = {x: before(Array.from(C.curve_n.subarray(from, to)), 0), low: before(column("low"), initial), middle: before(column("middle"), initial), high: before(column("high"), initial), right: before(column("right"), NaN), n: before(n, n[0])};
    doc.get_model_by_name("skill").x_range.setv({start: -0.5, end: (C.curve_n[to - 1] ?? 9) + 0.5});
  }
  for (const button of all("[data-skill]")) button.addEventListener("click", () => showSkill(Number(button.dataset.skill), button));
  const firstSkill = document.querySelector("[data-skill]");
  if (firstSkill) new IntersectionObserver((seen, self) => { if (seen.some((one) => one.isIntersecting)) { self.disconnect(); showSkill(Number(firstSkill.dataset.skill), firstSkill); } }).observe($("skill-panel"));

  // Students: the list.
  let order = {key: "steps", down: true}, limit = 60, chosen = -1, at = 0, rows = [], skills = [], on = new Set();
  function list() {
    const wanted = $("find").value.trim().toLowerCase();
    const found = people.filter((one) => one.name.toLowerCase().includes(wanted)).sort((a, b) => compare(a[order.key], b[order.key], order.down) || a.i - b.i);
    $("student-table").tBodies[0].replaceChildren(...found.slice(0, limit).map((one) => {
      const button = el("button", one.name, {type: "button", className: "link", title: one.name});
      button.addEventListener("click", () => student(one.i));
      const row = el("tr", [el("th", button, {className: "name", scope: "row"}), el("td", String(one.steps)), el("td", three(one.auc2)), el("td", three(one.mastery))]);
      row.dataset.student = one.i;
      row.classList.toggle("chosen", one.i === chosen);
      return row;
    }));
    $("found").textContent = wanted ? `${found.length.toLocaleString("en")} of ${S.toLocaleString("en")} students` : `${S.toLocaleString("en")} ${data.part} students`;
    $("more").hidden = found.length <= limit;
    return found;
  }
  $("find").addEventListener("input", () => { limit = 60; list(); });
  $("find").addEventListener("keydown", (event) => { const found = event.key === "Enter" && list(); if (found?.length) student(found[0].i); });
  $("more").addEventListener("click", () => { limit += 200; list(); });
  $("student-table").addEventListener("keydown", (event) => {
    const row = event.target.closest("tbody tr"), next = {ArrowDown: row?.nextElementSibling, ArrowUp: row?.previousElementSibling}[event.key];
    if (next) { event.preventDefault(); next.querySelector("button").focus(); }
  });
  for (const button of all("#student-table [data-key]")) button.addEventListener("click", () => {
    order = {key: button.dataset.key, down: order.key === button.dataset.key ? !order.down : button.dataset.key !== "name"};
    arrow(button.closest("th"), order.down); list();
  });

  // One student: the rows of the steps, in order.
  async function student(i) {
    chosen = i;
    const one = people[i], given = data.parts.map((title, p) => [title, `part_${p}`]), met = new Map();
    rows = [];
    for (let r = C.start[i]; r < C.start[i + 1]; r++) {
      const k = C.skill[r], nth = (met.get(k) ?? 0) + 1;
      met.set(k, nth);
      rows.push({step: C.step[r], skill: k, nth, item: data.items[C.item[r]] ?? "", response: C.response[r], scored: C.scored[r], ...Object.fromEntries(["p1", "p2", "gain", "mastery", "mastery_final"].map((name) => [name, num(C[name][r])])), true: C.true_mastery ? num(C.true_mastery[r]) : NaN, parts: given.map(([title, name]) => [title, num(C[name][r])])});
    }
    skills = [...met].sort((a, b) => b[1] - a[1]).map(([k, count], place) => ({k, count, ...look(place)}));
    on = new Set(skills.slice(0, 5).map((s) => s.k));
    $("student-name").textContent = one.name;
    $("student-facts").textContent = `${one.steps} ${one.steps === 1 ? "step" : "steps"}, ${one.skills} ${one.skills === 1 ? "skill" : "skills"}, ${percent(one.right)} right. AUC within the student: Encoder 1 ${three(one.auc1)}, Encoder 2 ${three(one.auc2)}${Number.isNaN(one.auc2) ? " (needs right and wrong answers)" : ""}. Mean mastery at the end: ${three(one.mastery)}.`;
    all("#student-table tbody tr").forEach((row) => row.classList.toggle("chosen", Number(row.dataset.student) === i));
    $("skill-chips").replaceChildren(...skills.map((s) => {
      const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg"), bar = document.createElementNS("http://www.w3.org/2000/svg", "line");
      for (const [key, x] of Object.entries({width: 22, height: 8})) svg.setAttribute(key, x);
      for (const [key, x] of Object.entries({x1: 0, x2: 22, y1: 4, y2: 4, stroke: s.colour, "stroke-width": 3, "stroke-dasharray": DASH[s.dash].join(" ")})) bar.setAttribute(key, x);
      svg.append(bar);
      const chip = el("button", [svg, el("span", data.skills[s.k]), el("small", `${s.count}×`)], {type: "button", title: data.skills[s.k]});
      chip.setAttribute("aria-pressed", on.has(s.k));
      chip.addEventListener("click", () => { on[on.has(s.k) ? "delete" : "add"](s.k); chip.setAttribute("aria-pressed", on.has(s.k)); plot(); });
      return chip;
    }));
    const has = {item: data.items.length > 0, true: Boolean(C.true_mastery)};
    const cells = [["step", (r) => r.step], ["skill", (r) => data.skills[r.skill]], ...(has.item ? [["item", (r) => r.item]] : []), ["opportunity", (r) => r.nth], ["answered", (r) => (r.response ? "right" : "wrong")], ["p1", (r) => three(r.p1)], ["p2", (r) => three(r.p2)], ["gain", (r) => three(r.gain)], ["mastery then", (r) => three(r.mastery)], ["at the end", (r) => three(r.mastery_final)], ...(has.true ? [["true", (r) => three(r.true)]] : [])];
    const left = new Set(["skill", "item", "answered"]);
    $("step-table").tHead.replaceChildren(el("tr", cells.map(([title]) => el("th", title, {scope: "col", className: left.has(title) ? "name" : ""}))));
    $("step-table").tBodies[0].replaceChildren(...rows.map((r) => el("tr", cells.map(([title, read]) => el("td", String(read(r)), {className: left.has(title) ? "name" : ""})))));
    $("step").max = rows.at(-1)?.step ?? 0;
    $("true-legend").hidden = !has.true;
    await plot(true);
    point(rows[0]?.step ?? 0);
  }
  async function plot(rescale = false) {
    const doc = await chartOf("student"), name = document.querySelector("[name=belief]:checked").value, source = (id) => doc.get_model_by_name(id);
    const lines = skills.map((s) => ({...s, rows: rows.filter((r) => r.skill === s.k)})).reverse(), grey = css("--muted"), shown = lines.filter((s) => on.has(s.k));
    const colour = (s) => (on.has(s.k) ? s.colour : grey);
    source("curves").data = {xs: lines.map((s) => s.rows.map((r) => r.step)), ys: lines.map((s) => s.rows.map((r) => r[name])), colour: lines.map(colour), dash: lines.map((s) => DASH[s.dash]), alpha: lines.map((s) => (on.has(s.k) ? 1 : 0.25)), width: lines.map((s) => (on.has(s.k) ? 2.2 : 1))};
    source("true").data = C.true_mastery ? {xs: shown.map((s) => s.rows.map((r) => r.step)), ys: shown.map((s) => s.rows.map((r) => r.true)), colour: shown.map(colour)} : {xs: [], ys: [], colour: []};
    const marks = lines.flatMap((s) => s.rows.map((r) => ({r, c: colour(s), alpha: on.has(s.k) ? 1 : 0.3}))), col = (read) => marks.map(read);
    source("marks").data = {x: col((m) => m.r.step), y: col((m) => m.r[name]), step: col((m) => String(m.r.step)), skill: col((m) => data.skills[m.r.skill]), item: col((m) => m.r.item || "-"), answer: col((m) => (m.r.response ? "right" : "wrong")), gain: col((m) => three(m.r.gain)), p1: col((m) => three(m.r.p1)), p2: col((m) => three(m.r.p2)), colour: col((m) => m.c), fill: col((m) => (m.r.response ? m.c : css("--bg"))), alpha: col((m) => m.alpha)};
    const steps = rows.filter((r, n) => n === 0 || r.step !== rows[n - 1].step);
    source("said").data = {x: steps.map((r) => r.step), p1: steps.map((r) => r.p1), p2: steps.map((r) => r.p2), response: steps.map((r) => r.response), marker: steps.map(() => "circle"), fill: steps.map((r) => (r.response ? css("--muted") : css("--bg")))};
    if (rescale) zoom(doc);
  }
  function zoom(doc) {
    const last = rows.at(-1)?.step ?? 0, span = Number($("span").value), range = doc.get_model_by_name("upper").x_range;
    const low = span && span < last ? Math.min(Math.max(at - span / 2, 0), last - span) : 0;
    range.setv({start: low - 0.7, end: (span && span < last ? low + span : last) + 0.7});
  }
  async function point(x) {
    const steps = rows.map((r) => r.step), nearest = steps.reduce((best, s) => (Math.abs(s - x) < Math.abs(best - x) ? s : best), steps[0] ?? 0), here = rows.filter((r) => r.step === nearest);
    at = nearest;
    $("step").value = at;
    $("step-number").textContent = `${at} of ${steps.at(-1) ?? 0}`;
    const doc = await chartOf("student");
    for (const model of doc._all_models.values()) if (model.name === "pointer") model.setv({location: at, visible: true});
    if (Number($("span").value)) zoom(doc);
    if (!here.length) { $("at-step").replaceChildren(el("p", "This student has no recorded step.")); return; }
    const [one] = here, from = one.parts.find(([title]) => title.startsWith("item")), logit = (p) => Math.log(p / (1 - p));
    const facts = [["Encoder 1 said", three(one.p1)], ["Encoder 2 said", `${three(one.p2)} (${logit(one.p2).toFixed(2)} logits)`], ...(from ? [["from mastery, logits", (logit(one.p2) + from[1]).toFixed(2)], ["item's difficulty, logits", (-from[1]).toFixed(2)]] : []), ...one.parts.filter((p) => p !== from).map(([title, x]) => [title, three(x)]), ...here.flatMap((r) => [[`gain, ${data.skills[r.skill]}`, three(r.gain)], [`mastery after it, ${data.skills[r.skill]}`, three(r.mastery) + (C.true_mastery ? ` (true ${three(r.true)})` : "")]])];
    $("at-step").replaceChildren(el("strong", `Step ${at}: ${here.map((r) => data.skills[r.skill]).join(" and ")}${one.item ? `, item ${one.item}` : ""}, answered ${one.response ? "right" : "wrong"}${one.scored ? "" : " (not scored: nothing was known of the student)"}`), el("dl", facts.map(([title, x]) => el("div", [el("dt", title), el("dd", x)])), {className: "terms"}));
  }
  all("[name=belief]").forEach((radio) => radio.addEventListener("change", () => plot()));
  $("step").addEventListener("input", () => point(Number($("step").value)));
  $("span").addEventListener("change", async () => zoom(await chartOf("student")));
  let moves = false;
  shows.students = async () => {
    list();
    if (chosen < 0) await student([...people].sort((a, b) => a.steps - b.steps)[Math.floor(0.75 * S)].i);
    if (!moves) { moves = true; const doc = await chartOf("student"); for (const id of ["upper", "lower"]) doc.get_model_by_name(id).on_event("mousemove", (event) => point(event.x)); }
  };

  // The class.
  let page = 0;
  const PAGE = 50, opportunities = new Map();
  const mastery = (sort, k) => { const own = sort[k]; return own ? own.sum / own.n : NaN; };
  function cohort() {
    const key = $("class-students").value, by = $("class-skills").value, sums = {};
    for (let r = 0; r < C.now_skill.length; r++) { const own = (sums[C.now_skill[r]] ??= {n: 0, sum: 0}); own.n++; own.sum += num(C.now_mastery[r]); }
    if (!opportunities.size) for (let i = 0; i < S; i++) for (let r = C.start[i]; r < C.start[i + 1]; r++) { const at = i * data.skills.length + C.skill[r]; opportunities.set(at, (opportunities.get(at) ?? 0) + 1); }
    const ordered = [...people].sort((a, b) => compare(a[key.replace("low ", "")], b[key.replace("low ", "")], !/^(low|name)/.test(key)) || a.i - b.i), pages = Math.max(Math.ceil(S / PAGE), 1);
    page = Math.min(Math.max(page, 0), pages - 1);
    const shown = ordered.slice(page * PAGE, (page + 1) * PAGE), table = $("class-table");
    const met = new Set(shown.flatMap((one) => [...C.now_skill.subarray(C.now_start[one.i], C.now_start[one.i + 1])]));
    const columns = [...met].sort({name: (a, b) => compare(data.skills[a], data.skills[b]), practised: (a, b) => sums[b].n - sums[a].n, mastery: (a, b) => mastery(sums, b) - mastery(sums, a)}[by]);
    table.classList.toggle("small", !$("class-numbers").checked);
    table.tHead.replaceChildren(el("tr", [el("th", "student", {className: "name", scope: "col"}), el("th", el("span", "mean"), {scope: "col"}), ...columns.map((k) => el("th", el("span", data.skills[k]), {scope: "col", title: `${data.skills[k]}: ${sums[k].n} students, mean mastery ${percent(mastery(sums, k))}`}))]));
    const cell = (x, count, title) => {
      const td = Number.isFinite(x) ? el("td", [String(Math.round(100 * x)), ...(count ? [el("small", String(count))] : [])], {title, className: x > 0.5 ? "dark" : ""}) : el("td", "", {className: "none"});
      if (Number.isFinite(x)) td.style.setProperty("--m", x.toFixed(3));
      return td;
    };
    table.tBodies[0].replaceChildren(...shown.map((one) => {
      const now = new Map();
      for (let r = C.now_start[one.i]; r < C.now_start[one.i + 1]; r++) now.set(C.now_skill[r], num(C.now_mastery[r]));
      const name = el("button", one.name, {type: "button", className: "link", title: one.name});
      name.addEventListener("click", () => { location.hash = "students"; student(one.i); });
      return el("tr", [el("th", name, {className: "name", scope: "row"}), cell(one.mastery, 0, `${one.name}: mean ${percent(one.mastery)}`), ...columns.map((k) => cell(now.get(k) ?? NaN, opportunities.get(one.i * data.skills.length + k), now.has(k) ? `${one.name}, ${data.skills[k]}: ${percent(now.get(k))} after ${opportunities.get(one.i * data.skills.length + k)} opportunities` : ""))]);
    }));
    $("class-page").textContent = `students ${(page * PAGE + 1).toLocaleString("en")} to ${Math.min((page + 1) * PAGE, S).toLocaleString("en")} of ${S.toLocaleString("en")}; ${columns.length} of ${data.skills.length} skills practised by them`;
    $("class-back").disabled = page === 0; $("class-next").disabled = page === pages - 1;
  }
  $("class-numbers").checked = data.skills.length <= 40;
  for (const id of ["class-students", "class-skills", "class-numbers"]) $(id).addEventListener("change", () => { page = 0; cohort(); });
  $("class-back").addEventListener("click", () => { page--; cohort(); });
  $("class-next").addEventListener("click", () => { page++; cohort(); });
  shows.class = cohort;
}

all("[data-chart]").filter((target) => !["chart-skill", "chart-student"].includes(target.dataset.chart)).forEach((target) => near.observe(target));
if ($("data")) await explore(JSON.parse($("data").textContent));
view();
// What is not near the window is drawn when there is time, so that the page prints whole.
const idle = window.requestIdleCallback ?? ((work) => setTimeout(work, 200));
const rest = all("#report [data-chart], .only [data-chart]");
const next = () => { const target = rest.shift(); if (target) draw(target).then(() => idle(next)); };
idle(next);
document.documentElement.dataset.ready = "yes";
})();
