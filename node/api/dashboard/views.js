// The views but for that of one job: how each endpoint's document is shown.

import { by, say, facts, Table, span, stamp, clock, bytes, short } from "./dom.js";
import { Poll } from "./net.js";

const names = new Map(); // of peers, for people

/** who shows a peer by its name, or else by the end of its id. */
export const who = (id) => (id ? { text: names.get(id) || short(id), title: id } : "");
export const time = (t) => (t ? { time: t } : "");
const list = (a) => (a || []).join(", ");
const some = (a, n = 20) => (a.length > n ? `${a.slice(0, n).join(", ")} and ${a.length - n} more` : a.join(", "));

/** jobLink leads to a job's view. */
export const jobLink = (id, text) => ({ text: text || short(id), href: "#/job/" + encodeURIComponent(id), title: id });

const kinds = {
  ok: "good", completed: "good", done: "good", online: "good", connected: "good", complete: "good",
  failed: "bad", dead: "bad", failing: "bad", banned: "bad", "no leader": "bad", "no majority": "bad", "not ok": "bad",
  degraded: "warn", offline: "warn", draining: "warn", cancelled: "warn", requeued: "warn", reset: "warn",
};
/** state marks a word by what it means, beside saying it. */
export const state = (word) => ({ text: word, kind: kinds[word] || "plain" });

/** share says how much of something is used, in words and as a bar. */
function share(total, free, say) {
  if (!total) return "";
  const used = Math.max(0, total - free);
  const text = `${say(used)} of ${say(total)}`;
  return [text + " ", { part: used / total, text }];
}
const cores = (n) => String(Math.round(n * 100) / 100);

export function showStatus(s) {
  names.set(s.peer, s.name);
  say(by("title"), s.name ? `CIRO node ${s.name}` : "CIRO node");
  document.title = `${s.name || short(s.peer)} · CIRO`;
  facts(by("node"), [
    ["Name", s.name], ["Peer id", s.peer], ["Roles", list(s.roles) || "none: a door for clients"], ["Version", s.version],
    ["Up", [`${span(s.uptime)}, since `, stamp(s.started)]],
    ["Leads shards", some(s.leads || []) || "none"], ["Votes in", some(s.votes || []) || "none"],
    ["Attempts here", String(s.running) + (s.draining ? ", draining: takes nothing new" : "")],
    ["Cores", share(s.total.cpu, s.free.cpu, cores)], ["Memory", share(s.total.memory, s.free.memory, bytes)],
    ["GPUs", s.total.gpus ? share(s.total.gpus, s.free.gpus || 0, cores) : ""],
    ["Addresses", some(s.addresses, 4)], ["To join", s.joinHint], ["Data format", s.dataFormat && String(s.dataFormat)],
  ]);
  total.network = `${s.title || ""} ${s.network.slice(0, 16)}`.trim();
  total.peers = `${s.peers} connected`;
  showMesh();
}

const total = {};
/** showMesh sums the mesh up from whatever was heard last. */
function showMesh() {
  facts(by("mesh"), [
    ["Network", total.network], ["Peers", total.peers], ["Shards", total.shards], ["In trouble", total.trouble],
    ["Jobs kept", total.jobs], ["Workers", total.workers], ["Cores", total.cores], ["Memory", total.memory], ["Attempts under way", total.running],
    ["Ledgers", total.ledgers],
  ]);
}

const checks = new Table(by("checks"), {
  label: "Health checks", key: (c) => c.name, size: Infinity, columns: [
    { name: "Check", cell: (c) => c.name }, { name: "Verdict", cell: (c) => state(c.ok ? "ok" : "not ok") },
    { name: "Why", cell: (c) => c.detail, mark: "wide" },
  ],
});
export function showHealth(h) {
  by("health").className = "state " + kinds[h.status];
  say(by("health"), h.status + (h.fullyReplicated ? ", fully replicated" : ""));
  checks.show(h.checks || []);
}

/** progress shows a job's tasks by state. */
export function progress(c) {
  const parts = [`${c.done} of ${c.total}`, c.running && `${c.running} running`, c.assigned && `${c.assigned} assigned`,
    c.queued && `${c.queued} queued`, c.dead && `${c.dead} dead`].filter(Boolean);
  return [{ part: c.total ? c.done / c.total : 0, text: parts[0] }, " " + parts.join(", ")];
}

const jobColumns = [
  { name: "Job", cell: (j) => jobLink(j.id, j.name || short(j.id)), mark: "wide" },
  { name: "Id", cell: (j) => ({ text: short(j.id), title: j.id }), mark: "id" },
  { name: "Type", cell: (j) => j.type },
  { name: "State", cell: (j) => state(j.state) },
  { name: "Tasks done", cell: (j) => progress(j.counts), mark: "wide" },
  { name: "Priority", cell: (j) => String(j.priority) }, { name: "Shard", cell: (j) => String(j.shard) },
  { name: "Submitted", cell: (j) => time(j.submitted) },
  { name: "Took", cell: (j) => (j.ended && j.submitted ? span((Date.parse(j.ended) - Date.parse(j.submitted)) / 1e3) : "") },
  { name: "Reason", cell: (j) => j.reason && `${j.reason.sentence} (${j.reason.code})`, mark: "wide" },
];
const jobTable = (place, label) => new Table(by(place), { label, columns: jobColumns, key: (j) => j.id, size: Infinity });
const newest = jobTable("newest", "The ten newest jobs");
const jobs = jobTable("jobs-table", "Jobs, newest first");

const noJobs = (v) => (v.unanswered?.length ? "None of the shards that answered has such a job." : "No such job.");

const pages = [""]; // the cursors of the pages up to the one shown
const page = new Poll("Jobs", 5e3, () => {
  const q = new URLSearchParams({ limit: 50 });
  for (const [k, v] of [["state", by("jobs-state").value], ["text", by("jobs-text").value.trim()], ["cursor", pages.at(-1)]]) if (v) q.set(k, v);
  return "/jobs?" + q;
}, (v) => {
  page.next = v.next;
  jobs.empty = noJobs(v);
  jobs.show(v.jobs);
  say(by("jobs-where"), `Page ${pages.length}`);
  by("jobs-newer").disabled = pages.length === 1;
  by("jobs-older").disabled = !v.next;
});
const turn = (change) => { change(); page.again(); };
const fromStart = () => turn(() => { pages.length = 1; });
by("jobs-state").addEventListener("change", fromStart);
let typing = 0;
by("jobs-text").addEventListener("input", () => { clearTimeout(typing); typing = setTimeout(fromStart, 300); });
by("jobs-newer").addEventListener("click", () => turn(() => { if (pages.length > 1) pages.pop(); }));
by("jobs-older").addEventListener("click", () => turn(() => { if (page.next) pages.push(page.next); }));

const newestPoll = new Poll("Jobs", 5e3, () => "/jobs?limit=10", (v) => {
  newest.empty = noJobs(v);
  newest.show(v.jobs);
});

/** count says how many there are of each, most first. */
function count(items, of) {
  const n = new Map();
  for (const i of items) n.set(of(i), (n.get(of(i)) || 0) + 1);
  return [...n].sort((a, b) => b[1] - a[1]).map(([k, v]) => `${v} ${k}`).join(", ");
}

const free = (w) => w.state !== "offline";
const workers = new Table(by("workers-table"), {
  label: "Workers", key: (w) => w.id, empty: "No worker is known.",
  search: (w) => [w.name, w.id, w.state, w.version, list(w.executors), list(w.jobTypes), labels(w)].join(" "),
  columns: [
    { name: "Worker", cell: (w) => ({ text: (w.name || short(w.id)) + (w.self ? " (this node)" : ""), title: w.id }), sort: (w) => w.name || "", mark: "name" },
    { name: "Id", cell: (w) => ({ text: short(w.id), title: w.id }), mark: "id" },
    { name: "State", cell: (w) => state(w.state), sort: (w) => w.state },
    { name: "Attempts", cell: (w) => String(w.running), sort: (w) => w.running },
    { name: "Cores in use", cell: (w) => (free(w) ? share(w.total.cpu, w.free.cpu, cores) : `${cores(w.total.cpu)} offered`), sort: (w) => w.total.cpu - w.free.cpu },
    { name: "Memory in use", cell: (w) => (free(w) ? share(w.total.memory, w.free.memory, bytes) : `${bytes(w.total.memory)} offered`), sort: (w) => w.total.memory - w.free.memory },
    { name: "GPUs", cell: (w) => (w.total.gpus ? `${w.total.gpus - (w.free.gpus || 0)} of ${w.total.gpus}` : "none"), sort: (w) => w.total.gpus || 0 },
    { name: "Takes", cell: (w) => `${list(w.executors)}; ${list(w.jobTypes) || "all types"}` },
    { name: "Labels", cell: labels, mark: "wide" },
    { name: "Shards", cell: (w) => some(w.shards || [], 6) },
    { name: "Heard of", cell: (w) => time(w.seen), sort: (w) => w.seen || "" },
    { name: "Version", cell: (w) => w.version },
  ],
});
function labels(w) { return Object.entries(w.labels || {}).map(([k, v]) => `${k}=${v}`).sort().join(" "); }
const workersPoll = new Poll("Workers", 10e3, () => "/workers", (v) => {
  for (const w of v.workers) if (w.name) names.set(w.id, w.name);
  if (view("workers")) workers.show(v.workers);
  const on = v.workers.filter(free), sum = (f) => on.reduce((n, w) => n + f(w), 0);
  total.workers = count(v.workers, (w) => w.state) || "none";
  total.cores = share(sum((w) => w.total.cpu), sum((w) => w.free.cpu), cores);
  total.memory = share(sum((w) => w.total.memory), sum((w) => w.free.memory), bytes);
  total.running = String(sum((w) => w.running));
  showMesh();
});
const view = (id) => !by(id).hidden;

const condition = (s) => (s.complete ? "complete" : !s.leader ? "no leader" : s.trouble ? "no majority" : "degraded");
const shards = new Table(by("shards-table"), {
  label: "Shards", key: (s) => s.id, search: (s) => [s.id, condition(s), s.local, names.get(s.leader), s.leader].join(" "),
  columns: [
    { name: "Shard", cell: (s) => String(s.id), sort: (s) => s.id },
    { name: "State", cell: (s) => state(condition(s)), sort: condition },
    { name: "Leader", cell: (s) => who(s.leader), sort: (s) => names.get(s.leader) || s.leader || "", mark: "name" },
    { name: "Voters", cell: (s) => s.voters.flatMap((v, i) => [i ? ", " : " ", who(v.peer), (v.learner ? " (learner)" : "") + lag(v)]), mark: "wide" },
    { name: "Has", cell: (s) => `${s.voters.filter((v) => !v.learner).length} of ${s.target || "?"}`, sort: (s) => s.voters.length - s.target, mark: "tight" },
    { name: "Term", cell: (s) => String(s.term), sort: (s) => s.term }, { name: "Jobs", cell: (s) => String(s.jobs || 0), sort: (s) => s.jobs || 0 },
    { name: "This node", cell: (s) => s.local + (s.applied ? `, at entry ${s.applied}` : "") },
    { name: "Heard of", cell: (s) => time(s.asOf), sort: (s) => s.asOf || "" },
    { name: "Why", cell: (s) => (s.reasons || []).map((r) => `${r.sentence} (${r.code})`).join("; ") || s.trouble, mark: "wide" },
  ],
});
const lag = (v) => (v.behind ? ` (${v.behind} behind)` : "");
const shardsPoll = new Poll("Shards", 5e3, () => "/network/shards", (v) => {
  if (view("shards")) shards.show([...v.shards].sort((a, b) => a.complete - b.complete || a.id - b.id));
  const bad = v.shards.filter((s) => !s.complete);
  shardsPoll.missing = []; // each says so itself
  total.shards = count(v.shards, condition);
  total.trouble = bad.length ? some(bad.map((s) => s.id)) : "none";
  total.jobs = String(v.shards.reduce((n, s) => n + (s.jobs || 0), 0));
  showMesh();
});

const peersTable = new Table(by("peers-table"), {
  label: "Peers of this node", key: (p) => p.id, search: (p) => [p.name, p.id, list(p.roles), p.version, list(p.addresses)].join(" "),
  columns: [
    { name: "Peer", cell: (p) => ({ text: p.name || short(p.id), title: p.id }), sort: (p) => p.name || "", mark: "name" },
    { name: "Id", cell: (p) => ({ text: short(p.id), title: p.id }), mark: "id" },
    { name: "State", cell: (p) => state(p.connected ? "connected" : "not connected"), sort: (p) => p.connected },
    { name: "Roles", cell: (p) => list(p.roles) || "none", sort: (p) => list(p.roles) },
    { name: "Round trip", cell: (p) => (p.latency ? `${(p.latency * 1e3).toFixed(1)} ms` : ""), sort: (p) => p.latency || 0 },
    { name: "Transport", cell: (p) => p.transport }, { name: "Since", cell: (p) => time(p.since), sort: (p) => p.since || "" },
    { name: "Version", cell: (p) => p.version }, { name: "Address", cell: (p) => (p.addresses || [])[0], mark: "wide" },
  ],
});
export const peers = new Poll("Peers", 15e3, () => "/network/peers", (v) => {
  for (const p of v.peers) if (p.name) names.set(p.id, p.name);
  if (view("peers")) peersTable.show(v.peers);
});

const ledgers = new Table(by("ledger-table"), {
  label: "How far the ledgers are", key: (c) => c.shard, search: (c) => String(c.shard), columns: [
    { name: "Shard", cell: (c) => ({ text: String(c.shard), href: "#/ledger/" + c.shard }), sort: (c) => c.shard },
    { name: "Records in no batch", cell: (c) => String(c.open), sort: (c) => c.open }, { name: "Batches cut", cell: (c) => String(c.cut), sort: (c) => c.cut },
    { name: "Anchored", cell: (c) => String(c.anchored), sort: (c) => c.anchored }, { name: "Pending", cell: (c) => String(c.pending), sort: (c) => c.pending },
    { name: "Records anchored", cell: (c) => String(c.records), sort: (c) => c.records },
    { name: "Newest entry", cell: (c) => c.head && { text: c.head.slice(0, 12), title: c.head }, mark: "id" },
    { name: "Cut", cell: (c) => time(c.headAt), sort: (c) => c.headAt || "" },
    { name: "Mismatches", cell: (c) => (c.mismatches ? { text: String(c.mismatches), kind: "bad" } : "none"), sort: (c) => c.mismatches },
  ],
});
const chainPoll = new Poll("Ledgers", 10e3, () => "/chain/status", (v) => {
  if (view("ledger")) ledgers.show(v.shards);
  const sum = (f) => v.shards.reduce((n, c) => n + f(c), 0);
  const mismatch = sum((c) => c.mismatches) + v.localMismatches;
  total.ledgers = `${sum((c) => c.anchored)} batches anchored, ${sum((c) => c.pending)} pending, ${sum((c) => c.open)} records in no batch`;
  facts(by("ledger-facts"), [["Anchored in", v.anchor], ["Network", v.network], ["In all", total.ledgers],
    ["Mismatches", mismatch ? { text: `${mismatch}: what leaders anchored is not what this mesh made of its logs`, kind: "bad" } : "none"]]);
  showMesh();
});
const entries = new Table(by("entries-table"), {
  label: "Entries, newest first", key: (e) => e.seq, size: Infinity, empty: "No entries yet.", columns: [
    { name: "Batch", cell: (e) => String(e.seq) }, { name: "Records", cell: (e) => String(e.records) },
    { name: "Root", cell: (e) => e.root || "only members", mark: "id wide" }, { name: "Entry", cell: (e) => ({ text: e.hash.slice(0, 12), title: e.hash }), mark: "id" },
    { name: "Term", cell: (e) => String(e.term) }, { name: "Cut", cell: (e) => time(e.at) },
    { name: "Anchored by", cell: (e) => who(e.signer) || state("pending") }, { name: "Where", cell: (e) => e.reference, mark: "wide" },
  ],
});
let before = 0;
const entriesPoll = new Poll("Entries", 10e3, () => `/chain/entries?limit=25&shard=${Number(by("entries-shard").textContent)}` + (before ? `&before=${before}` : ""), (v) => {
  entries.show(v.entries || []);
  entriesPoll.next = v.next;
  by("entries-newest").disabled = !before;
  by("entries-older").disabled = !v.next;
});
const leaf = (n) => { before = n || 0; entriesPoll.again(); };
by("entries-newest").addEventListener("click", () => leaf(0));
by("entries-older").addEventListener("click", () => leaf(entriesPoll.next));

const kept = 200;
const heard = []; // newest first
const events = new Table(by("events-table"), {
  label: "Events, newest first", key: (e) => e.n, size: Infinity, empty: "No event so far.", columns: [
    { name: "When", cell: (e) => e.at && { text: clock(e.at), title: stamp(e.at) } },
    { name: "Event", cell: (e) => state(e.kind) }, { name: "Job", cell: (e) => e.job && jobLink(e.job), mark: "id" },
    { name: "Task", cell: (e) => (e.attempt ? (e.task < 0 ? "gather" : String(e.task)) : "") }, { name: "Attempt", cell: (e) => (e.attempt ? String(e.attempt) : "") },
    { name: "Worker", cell: (e) => who(e.worker) },
    { name: "What", cell: (e) => [e.progress && `${Math.round(e.progress * 100)} %`, e.cause, e.detail].filter(Boolean).join(": "), mark: "wide" },
  ],
});
let number = 0, drawing = 0;

/** addEvent keeps an event among the last 200 and draws soon, at most twice a second. */
export function addEvent(e) {
  heard.unshift({ ...e, n: number++ });
  heard.length = Math.min(heard.length, kept);
  drawing ||= setTimeout(() => {
    drawing = 0;
    if (view("events") && !by("events-hold").checked) events.show(heard);
  }, 500);
}
export const addGap = () => addEvent({ kind: "gap", at: new Date().toISOString(), detail: "the stream was interrupted here; events may be missing" });
export const showStream = (s) => say(by("events-note"), s.says);

by("events-hold").addEventListener("change", () => { if (!by("events-hold").checked) events.show(heard); });

const changes = (e) => e.kind !== "progress";
export const views = {
  overview: { polls: [newestPoll, shardsPoll, workersPoll, chainPoll], hear: (e) => changes(e) && newestPoll.soon(2e3) },
  jobs: { polls: [page], hear: (e) => changes(e) && page.soon(2e3) },
  workers: { polls: [workersPoll] },
  shards: { polls: [shardsPoll], open: () => peers.again() },
  peers: { polls: [], asks: [peers], open: () => peers.again() },
  ledger: {
    polls: [chainPoll, entriesPoll],
    open(shard = "0") {
      const wanted = String(Math.min(1023, Math.max(0, Number(shard) || 0)));
      if (by("entries-shard").textContent === wanted) return;
      say(by("entries-shard"), wanted);
      leaf(0);
    },
  },
  events: { polls: [], open: () => events.show(heard) },
};
