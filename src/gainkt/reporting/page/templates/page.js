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
const link = (name, onclick) => el("button", name, {type: "button", className: "link", title: name, onclick});
const listen = (id, event, act) => $(id).addEventListener(event, act);
const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const three = (x) => (Number.isFinite(x) ? x.toFixed(3) : "-");
const percent = (x) => (Number.isFinite(x) ? `${Math.round(100 * x)} %` : "-");
const count = (n) => n.toLocaleString("en");

// Charts, in the page's colours: those of the first view one after the other, when there is time.
const drawn = new Map();
function paint(doc) {
  const ink = css("--ink"), muted = css("--muted"), line = css("--line");
  const axis = {axis_label_text_color: muted, major_label_text_color: muted};
  for (const model of doc._all_models.values()) {
    if (/Axis$/.test(model.type)) model.setv({...axis, axis_line_color: line, major_tick_line_color: line});
    if (model.type === "Grid") model.setv({grid_line_color: line, grid_line_alpha: 0.6});
    if (model.tags.includes("ink")) model.setv({line_color: ink, ...(model.type === "Scatter" && {fill_color: ink})});
  }
  return doc;
}
function draw(target) {
  const item = () => JSON.parse($(target.dataset.chart).textContent);
  const docs = (views) => [...(views.roots ?? views)][0].model.document;
  if (!drawn.has(target)) drawn.set(target, Bokeh.embed.embed_item(item(), target).then(docs).then(paint));
  return drawn.get(target);
}
const chartOf = (id) => draw(document.querySelector(`[data-chart="chart-${id}"]`));
for (const asked of ["(prefers-color-scheme: dark)", "print"])
  matchMedia(asked).addEventListener("change", () => drawn.forEach((doc) => doc.then(paint)));
const rest = all("[data-chart]").filter((chart) => !chart.closest("#students"));
const next = () => { if (rest.length) draw(rest.shift()).then(() => setTimeout(next, 20)); };

// Views, by the address's fragment, so that the browser's own ways back and forth work.
const shows = {};
function view() {
  const asked = location.hash.slice(1), target = asked ? $(asked) : null;
  const chosen = target?.closest(".view") ?? document.querySelector(".view");
  for (const one of all(".view")) one.hidden = one !== chosen;
  for (const one of all("[data-view]")) one.ariaCurrent = one.dataset.view === chosen?.id ? "page" : "false";
  shows[chosen?.id]?.();
  if (target && target !== chosen) target.scrollIntoView(); else if (asked) scrollTo(0, 0);
}
addEventListener("hashchange", view);
document.addEventListener("click", (event) => { // within a notebook's frame a link would lead to the notebook
  const to = event.target.closest?.('a[href^="#"]')?.getAttribute("href");
  if (!to) return;
  event.preventDefault();
  if (location.hash === to) view(); else location.hash = to;
});

// Tables that a heading sorts; missing values stay last.
function arrow(heading, down) {
  for (const th of all("th", heading.parentNode)) th.ariaSort = "none";
  heading.ariaSort = down ? "descending" : "ascending";
}
function compare(a, b, down = false) {
  const gone = (x) => x === "" || x === "-" || Number.isNaN(x);
  if (gone(a) || gone(b)) return gone(a) - gone(b);
  const numbers = typeof a === "number" && typeof b === "number";
  return (down ? -1 : 1) * (numbers ? a - b : String(a).localeCompare(String(b), undefined, {numeric: true}));
}
function value(cell) {
  const text = cell.dataset.value ?? cell.textContent.trim(), n = Number(text.replace(/[,%\s]/g, ""));
  return text === "" || Number.isNaN(n) ? text : n;
}
for (const button of all(".sortable .sort")) button.addEventListener("click", () => {
  const heading = button.closest("th"), first = !heading.classList.contains("name");
  const down = {ascending: true, descending: false}[heading.ariaSort] ?? first;
  const body = heading.closest("table").tBodies[0], key = (row) => value(row.cells[heading.cellIndex]);
  body.append(...[...body.rows].sort((a, b) => compare(key(a), key(b), down)));
  arrow(heading, down);
});
const lines = (table) => [...table.rows].map((row) => [...row.cells].map((cell) => cell.textContent).join("\t"));
for (const button of all(".copy")) button.addEventListener("click", () => {
  const {copy: text, copyTable: table} = button.dataset, before = button.textContent;
  const value = text ? $(text).textContent : lines($(table)).join("\n");
  const area = document.body.appendChild(el("textarea", "", {value}));
  area.select();
  button.textContent = document.execCommand("copy") ? "Copied" : "Not copied";
  area.remove();
  setTimeout(() => { button.textContent = before; }, 1500);
});

// Columns of numbers: thousandths become numbers again, NaN where they are missing.
const TYPES = {u1: Uint8Array, u2: Uint16Array, u4: Uint32Array, i2: Int16Array};
async function unpack({columns, bytes}) {
  // Older browsers know no fromBase64.
  const plain = Uint8Array.fromBase64?.(bytes) ?? Uint8Array.from(atob(bytes), (c) => c.charCodeAt(0));
  const packed = new Blob([plain]).stream().pipeThrough(new DecompressionStream("gzip")), made = {};
  let raw = await new Response(packed).arrayBuffer(), at = 0;
  for (const [name, type, length] of columns) at += (made[name] = new TYPES[type](raw, at, length)).byteLength;
  return made;
}
const num = (x) => (x === -32768 ? NaN : x / 1000);

async function explore(data) {
  const C = await unpack(data.packed), S = data.students.length, colours = JSON.parse($("looks").textContent);
  const numbers = (i, names, start) => Object.fromEntries(names.map((name) => [name, num(C[start + name][i])]));
  const own = (i) => ({i, steps: C.students_steps[i], skills: C.students_skills[i]});
  const people = data.students.map((name, i) => (
    {name, ...own(i), ...numbers(i, ["right", "auc1", "auc2", "mastery"], "students_")}));

  // The curve of a skill.
  async function showSkill(button) {
    for (const row of all("#skill-table tr")) row.classList.toggle("chosen", row.contains(button));
    const k = Number(button.dataset.skill), from = C.curve_start[k], to = C.curve_start[k + 1];
    const n = [...C.curve_students.subarray(from, to)], initial = num(C.skills_initial[k]);
    const from0 = from < to && Number.isFinite(initial);
    $("skill-name").textContent = data.skills[k];
    for (const name of ["says", "parameters"]) $(`skill-${name}`).textContent = button.dataset[name];
    const put = (first, rest) => [...(from0 ? [first] : []), ...rest], x = put(0, C.curve_n.subarray(from, to));
    const ends = {low: initial, middle: initial, high: initial, right: NaN}, doc = await chartOf("skill");
    const column = ([name, first]) => [name, put(first, Array.from(C[`curve_${name}`].subarray(from, to), num))];
    doc.get_model_by_name("curve").data = {...Object.fromEntries(Object.entries(ends).map(column)), x, n: put(n[0], n)};
    doc.get_model_by_name("skill").x_range.setv({start: -0.5, end: (x.at(-1) ?? 9) + 0.5});
  }
  for (const button of all("[data-skill]")) button.addEventListener("click", () => showSkill(button));
  for (const button of all("[data-skill]").slice(0, 1)) setTimeout(() => showSkill(button), 300);

  // The list of students.
  let order = {key: "steps", down: true}, limit = 60, chosen = -1, at = 0, rows = [], skills = [], on = new Set();
  function list() {
    const wanted = $("find").value.trim().toLowerCase(), by = (a, b) => compare(a[order.key], b[order.key], order.down);
    const found = people.filter((one) => one.name.toLowerCase().includes(wanted)).sort((a, b) => by(a, b) || a.i - b.i);
    $("student-table").tBodies[0].replaceChildren(...found.slice(0, limit).map((one) => {
      const name = el("th", link(one.name, () => student(one.i)), {className: "name", scope: "row"});
      const row = el("tr", [name, ...[one.steps, three(one.auc2), three(one.mastery)].map((x) => el("td", String(x)))]);
      row.dataset.student = one.i;
      row.classList.toggle("chosen", one.i === chosen);
      return row;
    }));
    $("found").textContent = `${wanted ? `${count(found.length)} of ` : ""}${count(S)} ${data.who}`;
    $("more").hidden = found.length <= limit;
    return found;
  }
  listen("find", "input", list);
  listen("find", "keydown", ({key}) => { if (key === "Enter" && list().length) student(list()[0].i); });
  listen("more", "click", () => { limit *= 4; list(); });
  for (const button of all("#student-table [data-key]")) button.addEventListener("click", () => {
    const {key} = button.dataset;
    order = {key, down: order.key === key ? !order.down : key !== "name"};
    arrow(button.closest("th"), order.down);
    list();
  });

  // One student: a row a step and skill.
  const answer = (r) => (r.response ? "right" : "wrong");
  const DASHES = [[], [6, 3], [10, 3, 2, 3], [14, 5]]; // dots are the truth's
  const stripes = (colour, dash, at = 0) => (dash.length ? dash : [9]).map(
    (n, i) => `${i % 2 ? "transparent" : colour} ${at}px ${at += n}px`);
  const SHOWN = [
    ["step", (r) => r.step], ["skill", (r) => data.skills[r.skill], "name"], ["item", (r) => r.item, "name"],
    ["opportunity", (r) => r.nth], ["answered", answer, "name"], ["p1", (r) => three(r.p1)], ["p2", (r) => three(r.p2)],
    ["gain", (r) => three(r.gain)], ["mastery then", (r) => three(r.mastery)],
    ["at the end", (r) => three(r.mastery_final)], ["true", (r) => three(r.true_mastery)],
  ].filter(([title]) => (title !== "item" || data.items.length) && (title !== "true" || C.true_mastery));
  async function student(i) {
    [chosen, rows] = [i, []];
    const one = people[i], met = new Map(), known = ["p1", "p2", "gain", "mastery", "mastery_final"];
    if (C.true_mastery) known.push("true_mastery");
    for (let r = C.start[i]; r < C.start[i + 1]; r++) {
      const skill = C.skill[r], nth = (met.get(skill) ?? 0) + 1, item = data.items[C.item[r]] ?? "";
      const parts = data.parts.map((title, p) => [title, num(C[`part_${p}`][r])]);
      met.set(skill, nth);
      const [step, response, scored] = [C.step[r], C.response[r], C.scored[r]];
      rows.push({step, skill, nth, item, response, scored, parts, ...numbers(r, known, "")});
    }
    skills = [...met].sort((a, b) => b[1] - a[1]).map(([k, times], place) => (
      {k, times, colour: colours[place % colours.length], style: (place + Math.floor(place / colours.length)) % 4}));
    on = new Set(skills.slice(0, 5).map((s) => s.k));
    const many = (n, word) => `${n} ${word}${n === 1 ? "" : "s"}`, alike = Number.isNaN(one.auc2);
    $("student-name").textContent = one.name;
    const auc = `Encoder 1 ${three(one.auc1)}, Encoder 2 ${three(one.auc2)}`, right = percent(one.right);
    $("student-facts").textContent = `${many(one.steps, "step")}, ${many(one.skills, "skill")}, ${right} right. `
      + `AUC within the student: ${auc}${alike ? " (needs right and wrong answers)" : ""}. `
      + `Mean mastery at the end: ${three(one.mastery)}.`;
    for (const row of all("#student-table tbody tr")) row.classList.toggle("chosen", Number(row.dataset.student) === i);
    $("skill-chips").replaceChildren(...skills.map((s) => {
      const bar = el("i"), chip = link(data.skills[s.k], () => {
        on[on.has(s.k) ? "delete" : "add"](s.k);
        chip.setAttribute("aria-pressed", on.has(s.k));
        plot();
      });
      bar.style.background = `repeating-linear-gradient(90deg, ${stripes(s.colour, DASHES[s.style])})`;
      chip.replaceChildren(bar, el("span", data.skills[s.k]), el("small", `${s.times}×`));
      chip.setAttribute("aria-pressed", on.has(s.k));
      return chip;
    }));
    const cells = (tag, read) => el("tr", SHOWN.map((c) => el(tag, String(read(c)), {className: c[2] ?? ""})));
    $("step-table").tHead.replaceChildren(cells("th", ([title]) => title));
    $("step-table").tBodies[0].replaceChildren(...rows.map((r) => cells("td", ([, read]) => read(r))));
    [$("step").max, $("true-legend").hidden] = [rows.at(-1).step, !C.true_mastery];
    await plot();
    zoom(await chartOf("student"));
    point(rows[0].step);
  }
  async function plot() {
    const doc = await chartOf("student"), name = document.querySelector("[name=belief]:checked").value;
    const put = (id, from, columns) => {
      const made = Object.entries(columns).map(([key, read]) => [key, from.map(read)]);
      doc.get_model_by_name(id).data = Object.fromEntries(made);
    };
    const muted = css("--muted"), ground = css("--bg"), own = (k) => rows.filter((r) => r.skill === k);
    const look = (s, shown) => ({...s, shown, colour: shown ? s.colour : muted, rows: own(s.k)});
    const curves = skills.map((s) => look(s, on.has(s.k))).reverse();
    const xs = (s) => s.rows.map((r) => r.step), colour = (s) => s.colour;
    put("curves", curves, {
      xs, ys: (s) => s.rows.map((r) => r[name]), colour, dash: (s) => DASHES[s.style],
      alpha: (s) => (s.shown ? 1 : 0.25), width: (s) => (s.shown ? 2.2 : 1),
    });
    const ys = (s) => s.rows.map((r) => r.true_mastery);
    put("true", C.true_mastery ? curves.filter((s) => s.shown) : [], {xs, ys, colour});
    put("marks", curves.flatMap((s) => s.rows.map((r) => ({...s, r}))), {
      x: (m) => m.r.step, y: (m) => m.r[name], step: (m) => String(m.r.step), skill: (m) => data.skills[m.r.skill],
      item: (m) => m.r.item || "-", answer: (m) => answer(m.r), gain: (m) => three(m.r.gain),
      p1: (m) => three(m.r.p1), p2: (m) => three(m.r.p2), colour, fill: (m) => (m.r.response ? m.colour : ground),
      alpha: (m) => (m.shown ? 1 : 0.3),
    });
    put("said", rows.filter((r, n) => n === 0 || r.step !== rows[n - 1].step), {
      x: (r) => r.step, p1: (r) => r.p1, p2: (r) => r.p2, response: (r) => r.response,
      fill: (r) => (r.response ? muted : ground)});
  }
  function zoom(doc) {
    const last = rows.at(-1).step, asked = Number($("span").value), span = asked ? Math.min(asked, last) : last;
    const start = Math.min(Math.max(at - span / 2, 0), last - span);
    doc.get_model_by_name("upper").x_range.setv({start: start - 0.7, end: start + span + 0.7});
  }
  async function point(x) {
    at = rows.reduce((best, r) => (Math.abs(r.step - x) < Math.abs(best - x) ? r.step : best), rows[0].step);
    const here = rows.filter((r) => r.step === at), [one] = here, doc = await chartOf("student");
    [$("step").value, $("step-number").textContent] = [at, `${at} of ${rows.at(-1).step}`];
    for (const id of ["pointer1", "pointer2"]) doc.get_model_by_name(id).setv({location: at, visible: true});
    if (Number($("span").value)) zoom(doc);
    const logit = Math.log(one.p2 / (1 - one.p2)).toFixed(2), signed = (x) => (x < 0 ? "" : "+") + three(x);
    const truth = (r) => (C.true_mastery ? ` (true ${three(r.true_mastery)})` : "");
    const told = ([title, x]) => [title, title.startsWith("logit: ") ? signed(x) : three(x)];
    const facts = [
      ["Encoder 1 said", three(one.p1)], ["Encoder 2 said", `${three(one.p2)} (logit ${logit})`],
      ...one.parts.filter(([, x]) => Number.isFinite(x)).map(told),
      ...here.flatMap((r) => [[`gain, ${data.skills[r.skill]}`, three(r.gain)],
        [`mastery after it, ${data.skills[r.skill]}`, three(r.mastery) + truth(r)]]),
    ];
    const names = here.map((r) => data.skills[r.skill]).join(" and "), what = one.item ? `, item ${one.item}` : "";
    const note = one.scored ? "" : " (not scored: nothing was known of the student)";
    const title = `Step ${at}: ${names}${what}, answered ${answer(one)}${note}`;
    const terms = facts.map(([term, x]) => el("div", [el("dt", term), el("dd", x)]));
    $("at-step").replaceChildren(el("strong", title), el("dl", terms, {className: "terms"}));
  }
  for (const radio of all("[name=belief]")) radio.addEventListener("change", plot);
  listen("step", "input", () => point(Number($("step").value)));
  listen("span", "change", async () => zoom(await chartOf("student")));
  shows.students = async () => {
    list();
    if (chosen >= 0) return;
    chosen = [...people].sort((a, b) => a.steps - b.steps)[Math.floor(0.75 * S)].i;
    await student(chosen);
    const doc = await chartOf("student");
    for (const id of ["upper", "lower"]) doc.get_model_by_name(id).on_event("mousemove", (event) => point(event.x));
  };

  // The class: students by skills.
  const PAGE = 50;
  let page = 0;
  const none = () => el("td", "", {className: "none"});
  function cell(x, times, title) {
    const content = [String(Math.round(100 * x)), ...(times ? [el("small", String(times))] : [])];
    const made = el("td", content, {title, className: x > 0.5 ? "dark" : ""});
    made.style.setProperty("--m", x.toFixed(3));
    return made;
  }
  function cohort() {
    const [key, low] = $("class-students").value.split(" "), by = $("class-skills").value;
    const own = (i) => [C.now_start[i], C.now_start[i + 1]], mean = (k) => num(C.skills_mastery[k]);
    const sorted = [...people].sort((a, b) => compare(a[key], b[key], key !== "name" && !low) || a.i - b.i);
    page = Math.min(Math.max(page, 0), Math.ceil(S / PAGE) - 1);
    const shown = sorted.slice(page * PAGE, (page + 1) * PAGE), last = page * PAGE + shown.length;
    const met = new Set(shown.flatMap((one) => [...C.now_skill.subarray(...own(one.i))])), orders = {
      name: (a, b) => compare(data.skills[a], data.skills[b]), mastery: (a, b) => mean(b) - mean(a),
      practised: (a, b) => C.skills_met[b] - C.skills_met[a]};
    const columns = [...met].sort(orders[by]), table = $("class-table");
    table.classList.toggle("small", !$("class-numbers").checked);
    const title = (k) => `${data.skills[k]}: ${C.skills_met[k]} students, mean mastery ${percent(mean(k))}`;
    const heads = columns.map((k) => el("th", el("span", data.skills[k]), {scope: "col", title: title(k)}));
    heads.unshift(el("th", "student", {className: "name"}), el("th", el("span", "mean")));
    table.tHead.replaceChildren(el("tr", heads));
    table.tBodies[0].replaceChildren(...shown.map((one) => {
      const open = () => { location.hash = "students"; student(one.i); }, [from, to] = own(one.i);
      const pair = (k, r) => [k, [num(C.now_mastery[from + r]), C.now_count[from + r]]];
      const now = new Map(Array.from(C.now_skill.subarray(from, to), pair));
      const told = (k, [x, n]) => `${one.name}, ${data.skills[k]}: ${percent(x)} after ${n} opportunities`;
      const cells = columns.map((k) => (now.has(k) ? cell(...now.get(k), told(k, now.get(k))) : none()));
      const name = el("th", link(one.name, open), {className: "name", scope: "row"});
      return el("tr", [name, Number.isFinite(one.mastery) ? cell(one.mastery, 0, one.name) : none(), ...cells]);
    }));
    $("class-page").textContent = `students ${count(page * PAGE + 1)} to ${count(last)} of ${count(S)}; `
      + `${columns.length} of ${data.skills.length} skills practised by them`;
    [$("class-back").disabled, $("class-next").disabled] = [page === 0, last === S];
  }
  const turn = (to) => () => { page = to(page); cohort(); };
  for (const id of ["class-students", "class-skills", "class-numbers"]) listen(id, "change", turn(() => 0));
  $("class-numbers").checked = data.skills.length <= 40;
  for (const [id, by] of [["class-back", -1], ["class-next", 1]]) listen(id, "click", turn((n) => n + by));
  shows.class = cohort;
}

if ($("data")) await explore(JSON.parse($("data").textContent));
view();
next();
document.documentElement.dataset.ready = "yes";
})();
