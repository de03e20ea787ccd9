"use strict";
// The page of the controller: one state, drawn again whenever it comes.

const $ = (id) => document.getElementById(id);
// css resolves a colour of the style sheet to what a canvas understands.
function css(name, alpha) {
  const probe = document.body.appendChild(document.createElement("i"));
  probe.style.color = alpha ? `color-mix(in srgb, var(${name}) ${alpha}%, transparent)` : `var(${name})`;
  const color = getComputedStyle(probe).color;
  probe.remove();
  return color;
}
const clock = (t) => new Date(t).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });
// when is the time of day, and the day where it was another.
const when = (t) => (new Date(t).toDateString() === new Date().toDateString() ? "" : new Date(t).toLocaleDateString([], { month: "short", day: "numeric" }) + " ") + clock(t);
const count = (n) => (n === null || n === undefined ? "–" : Math.round(n).toLocaleString());
const rate = (n) => (n === null || n === undefined ? "–" : n >= 10 ? Math.round(n).toLocaleString() : n.toFixed(1));
const seconds = (s) => (s === null || s === undefined ? "–" : s < 120 ? Math.round(s) + " s" : Math.round(s / 60) + " min");
const value = (sample) => (sample ? sample.value : null);

// node builds an element; text is always set as text, never as markup.
function node(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [key, v] of Object.entries(attributes || {})) element.setAttribute(key, v);
  element.append(...children.map((c) => (c instanceof Node ? c : document.createTextNode(c ?? ""))));
  return element;
}

const histories = new Map(); // policy → time in ms → point
let chosen = decodeURIComponent(location.hash.slice(1)); // the policy that is shown
let shown = null; // the newest state

function remember(policy, points) {
  if (!histories.has(policy)) histories.set(policy, new Map());
  const history = histories.get(policy);
  for (const point of points) history.set(Date.parse(point.time), point);
  const surplus = history.size - 1800;
  if (surplus > 0) for (const key of [...history.keys()].sort((a, b) => a - b).slice(0, surplus)) history.delete(key);
}

const charts = {};
const palette = ["--accent", "--arriving", "--good", "--bad"];
let queueNames = []; // of the policy that is shown; a queue has the same colour in every chart
const colorOf = (queue) => palette[queueNames.indexOf(queue) % palette.length];

function chart(id, lines) {
  const holder = $(id);
  const axis = { stroke: css("--muted"), grid: { stroke: css("--line"), width: 1 }, ticks: { show: false }, font: "11px system-ui" };
  charts[id] = new uPlot({
    width: holder.clientWidth, height: 170,
    cursor: { y: false, points: { size: 6 } }, legend: { show: false },
    scales: { x: { time: true }, y: { range: (_, low, high) => [0, Math.max(high * 1.15, 4)] } },
    axes: [{ ...axis, space: 80, size: 28, values: (_, ticks) => ticks.map((t) => clock(t * 1000)) }, { ...axis, size: 46, values: (_, ticks) => ticks.map((t) => t.toLocaleString()) }],
    series: [{ value: (_, t) => clock(t * 1000) }, ...lines.map((line) => ({
      label: line.label, stroke: css(line.color), width: 2, spanGaps: true, points: { show: false },
      fill: line.fill ? css(line.color, 13) : undefined, paths: line.stepped ? uPlot.paths.stepped({ align: 1 }) : undefined,
      dash: line.dash,
    }))],
  }, [[], ...lines.map(() => [])], holder);
}

function drawCharts() {
  const points = [...(histories.get(chosen) || new Map()).entries()].sort((a, b) => a[0] - b[0]).slice(-900);
  const times = points.map(([t]) => t / 1000);
  const names = queueNames;
  if (!charts["chart-tasks"]) {
    chart("chart-tasks", [{ label: "desired", color: "--desired", stepped: true, dash: [6, 4] }, { label: "running", color: "--accent", stepped: true, fill: true }]);
    chart("chart-rate", [{ label: "processed/s", color: "--accent" }, { label: "sent/s", color: "--arriving" }]);
  }
  if (!charts["chart-depth"] && names.length) {
    const lines = names.map((label) => ({ label, color: colorOf(label), fill: names.length === 1 }));
    chart("chart-depth", lines);
    chart("chart-age", lines);
  }
  const sum = (field) => points.map(([, p]) => {
    const known = Object.values(p.queues).map((q) => q[field]).filter((v) => v !== null);
    return known.length ? known.reduce((a, b) => a + b, 0) : null;
  });
  const last = points.length ? points[points.length - 1][1] : null;
  if (last) $("chart-tasks").setAttribute("aria-label", `Tasks over time; now ${last.running} of ${last.desired} run`);
  charts["chart-tasks"].setData([times, points.map(([, p]) => p.desired), points.map(([, p]) => p.running)]);
  charts["chart-rate"].setData([times, sum("deleted"), sum("sent")]);
  if (!charts["chart-depth"]) return;
  const depth = (q) => (q && q.visible !== null ? q.visible + (q.inFlight || 0) : null);
  charts["chart-depth"].setData([times, ...names.map((n) => points.map(([, p]) => depth(p.queues[n])))]);
  charts["chart-age"].setData([times, ...names.map((n) => points.map(([, p]) => (p.queues[n] ? p.queues[n].age : null)))]);
}

function tile(number, label, tone) { return node("div", { class: "tile" }, node("b", { class: tone || "" }, number), node("span", {}, label)); }

function rows(table, header, body) {
  const head = node("tr", {}, ...header.map((h) => node("th", h.startsWith("#") ? { class: "num" } : {}, h.replace("#", ""))));
  $(table).replaceChildren(node("thead", {}, head), node("tbody", {}, ...body));
}
const cell = (text, kind) => node("td", kind ? { class: kind } : {}, text);

const tasksOf = (view) => view.observation.service;
const healthy = (c) => c.status === (["ScalingLimited", "Paused", "EmergencyStop"].includes(c.type) ? "False" : "True");
// troubles are the conditions that a person should know of; a limit alone is no trouble, nor is what another autoscaler may do.
const troubles = (view) => (view.conditions || []).filter((c) => !healthy(c) && c.type !== "ScalingLimited" && c.type !== "Leading" && !(c.type === "TargetExclusive" && c.status === "Unknown"));

// drawPolicies lists the policies to choose from, where there are several.
function drawPolicies(views) {
  const nav = $("policies");
  nav.hidden = views.length < 2;
  nav.replaceChildren(...views.map((view) => {
    const name = view.policy.metadata.name, service = tasksOf(view);
    const button = node("button", { type: "button", "aria-pressed": String(name === chosen), class: troubles(view).length ? "warn" : "" }, `${name} ${service ? service.running : "?"}`);
    button.addEventListener("click", () => choose(name));
    return button;
  }));
}

function choose(name) {
  if (name === chosen) return;
  chosen = name;
  window.history.replaceState(null, "", "#" + encodeURIComponent(name));
  clearCharts();
  if (shown) draw(shown);
}

function clearCharts() { for (const id of Object.keys(charts)) { charts[id].destroy(); delete charts[id]; } }

// drawLeader says who may write.
function drawLeader(leader) {
  const text = { leading: "leads", unconfirmed: "database unreachable: scales out only", standby: leader.problem ? "no lease: nothing is scaled" : `standby, ${leader.holder || "nobody"} leads` }[leader.role];
  $("leader").className = "pill " + (leader.role === "leading" ? "on" : leader.role === "unconfirmed" || leader.problem ? "off" : "");
  $("leader").textContent = text || "";
  $("leader").title = `this controller: ${leader.self}\nepoch ${leader.epoch || "–"}${leader.problem ? "\n" + leader.problem : ""}`;
}

function drawPolicy(view) {
  const { policy, observation, decision } = view;
  const service = observation.service;
  $("target").textContent = `${policy.spec.target.cluster} / ${policy.spec.target.service}`;
  const health = view.health || {};
  $("status").replaceChildren(node("b", { class: health.status === "OK" ? "good" : health.status === "Paused" ? "warn" : "bad" }, health.status || "not known yet"),
    health.message ? ` since ${when(health.since)}: ${health.message}` : "");
  if (decision) {
    $("reason").textContent = decision.reason;
    $("steps").replaceChildren(...(decision.steps || []).map((s) => node("span", { class: "step", title: s.reason || "" }, `${s.rule}: ${s.from} → ${s.to}`)));
  }
  $("tiles").replaceChildren(
    tile(service ? count(service.running) : "–", "running"), tile(service ? count(service.pending) : "–", "pending"),
    tile(service ? count(service.desired) : "–", "desired"), tile(decision ? count(decision.need) : "–", "needed"));
  const names = policy.spec.queues.map((q) => q.name);
  if (names.join() !== queueNames.join()) { queueNames = names; clearCharts(); }
  const needs = new Map(((decision && decision.queues) || []).map((q) => [q.queue, q]));
  rows("queues", ["queue", "#visible", "#in flight", "#delayed", "#oldest", "#objective", "#arriving/s", "#a task does/s", "#needs", "why"],
    policy.spec.queues.map((spec) => {
      const q = observation.queues[spec.name] || {}, need = needs.get(spec.name) || {};
      const late = q.oldestAge && q.oldestAge.value > spec.maxAge / 1e9;
      return node("tr", {}, node("td", {}, node("span", { class: "key", style: `color: var(${colorOf(spec.name)})` }), spec.name), cell(count(value(q.visible)), "num"), cell(count(value(q.inFlight)), "num"), cell(count(value(q.delayed)), "num"),
        cell(seconds(value(q.oldestAge)), "num " + (late ? "bad" : "")), cell(seconds(spec.maxAge / 1e9), "num"), cell(need.arrivalKnown ? rate(need.arrival) : "–", "num"),
        cell(need.perTask ? rate(need.perTask) + (need.learned ? "" : " ?") : "–", "num"), cell(count(need.need), "num"), cell(need.why || "", "wide"));
    }));
}

function drawLogs(state) {
  const about = (row) => !row.policy || row.policy === chosen || row.policy === "*";
  $("decisions").replaceChildren(...state.decisions.filter(about).map((d) => node("li", {}, node("time", {}, when(d.lastTime)),
    node("b", { class: d.desired > d.current ? "up" : "down" }, d.changed ? `${d.current} → ${d.desired}` : `${d.desired}` + (d.count > 1 ? ` ×${d.count}` : "")), node("p", {}, d.reason))));
  $("notices").replaceChildren(...state.notices.filter(about).map((n) => node("li", {}, node("time", {}, when(n.lastTime)),
    node("p", {}, node("b", { class: n.type }, n.reason + (n.count > 1 ? ` ×${n.count}` : "") + " "), n.message))));
  const tones = { sent: "good", delivered: "good", received: "good", failed: "bad", undelivered: "bad", in_doubt: "warn", processing: "muted", suppressed: "warn" };
  rows("messages", ["time", "status", "channel", "type", "who", "#attempts", "id", "error"], state.messages.map((m) => node("tr", {},
    cell(when(m.updatedAt)), cell(m.status, tones[m.status]), cell(m.channel), cell(m.type.replace("message_", "")), cell(m.to), cell(count(m.attempts), "num"),
    cell(m.id, "id"), cell([m.errorCode, m.error].filter(Boolean).join(" "), "wide"))));
}

function drawConditions(conditions) {
  rows("conditions", ["condition", "status", "reason", "since", "message"], conditions.map((c) => node("tr", {},
    cell(c.type), cell(c.status, healthy(c) ? "good" : "warn"), cell(c.reason), cell(when(c.lastTransitionTime)), cell(c.message, "wide"))));
}

// muted says why nobody is notified of an alert.
function muted(a) {
  return [["silenced by ", a.silencedBy], ["explained by ", a.inhibitedBy]].filter(([, names]) => (names || []).length).map(([words, names]) => words + names.join(", ")).join("; ");
}

// drawAlerts lists alerts that fire, are pending, or were resolved recently; those that cannot be judged are one line.
function drawAlerts(policies) {
  const alerts = policies.flatMap((view) => view.alerts || []), unknown = alerts.filter((a) => a.state === "unknown");
  const tones = { firing: "bad", pending: "warn", resolved: "good" };
  const body = alerts.filter((a) => a.state !== "unknown").map((a) => node("tr", {},
    cell(a.state, tones[a.state]), cell(a.severity), cell(a.alert), ...(policies.length > 1 ? [cell(a.policy)] : []), cell(a.queue || ""), cell(when(a.state === "resolved" ? a.resolvedAt : a.since)),
    cell((a.message || "") + (a.unknown ? ` (now ${a.unknown})` : ""), "wide"), cell(muted(a), "muted")));
  if (unknown.length) {
    const names = [...new Set(unknown.map((a) => a.alert))].join(", ");
    body.push(node("tr", {}, node("td", { class: "wide muted", colspan: "8", title: unknown.map((a) => `${a.alert} ${a.queue || ""}: ${a.unknown}`).join("\n") }, `cannot be judged now: ${names}`)));
  }
  $("no-alerts").hidden = body.length > 0;
  rows("alerts", alerts.length > unknown.length ? ["state", "severity", "alert", ...(policies.length > 1 ? ["policy"] : []), "queue", "since", "what", ""] : [], body);
  $("alerts").hidden = body.length === 0;
}

function draw(state) {
  $("links").replaceChildren(...Object.entries(state.links || {}).map(([name, url]) => node("a", { href: url, target: "_blank", rel: "noopener" }, name)));
  shown = state;
  const views = state.policies;
  const view = views.find((v) => v.policy.metadata.name === chosen) || views[0];
  if (view && view.policy.metadata.name !== chosen) { chosen = view.policy.metadata.name; clearCharts(); }
  const trouble = [
    state.leader.problem && `The lease: ${state.leader.problem}`,
    state.refusal && "The newest policy was refused; the running one stays.\n" + state.refusal,
    ...(view ? troubles(view) : []).filter((c) => c.type !== "PolicyAccepted" || !state.refusal).map((c) => `${c.type} is ${c.status}: ${c.message}`),
    state.problem,
  ].filter(Boolean).join("\n");
  $("banner").hidden = !trouble;
  $("banner").textContent = trouble;
  $("footer").textContent = `version ${state.version} · ${clock(state.time)}`;
  drawLeader(state.leader);
  drawPolicies(views);
  for (const one of views) remember(one.policy.metadata.name, one.history || []);
  if (view) {
    drawPolicy(view);
    drawConditions(view.conditions || []);
  }
  drawAlerts(state.policies || []);
  drawLogs(state);
  drawCharts();
}

function live(on, text) { if ($("live").textContent === text) return; $("live").className = "pill " + (on ? "on" : "off"); $("live").textContent = text; }

// load fills in what was missed, at the start and after a lost connection.
const load = () => fetch("api/v1/state").then((r) => r.json()).then(draw).catch(() => {});

// connect listens, and begins again where the browser gives up: it repeats
// by itself only while the server answers.
function connect() {
  const stream = new EventSource("api/v1/stream");
  let lost = false;
  stream.onmessage = (event) => {
    if (lost) load();
    lost = false;
    live(true, "live");
    draw(JSON.parse(event.data));
  };
  stream.onerror = () => {
    lost = true;
    live(false, "connection lost, trying again");
    if (stream.readyState === EventSource.CLOSED) setTimeout(() => { load(); connect(); }, 3000);
  };
}
load();
connect();
addEventListener("hashchange", () => choose(decodeURIComponent(location.hash.slice(1))));
const redraw = () => { for (const id of Object.keys(charts)) charts[id].setSize({ width: $(id).clientWidth, height: 170 }); };
addEventListener("resize", redraw);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { clearCharts(); drawCharts(); });
