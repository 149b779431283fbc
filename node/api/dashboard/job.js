// The view of one job: what it is, what it waits for, its tasks with their
// attempts and logs, and its results.

import { by, say, fill, facts, Table, span, bytes, short } from "./dom.js";
import { Poll, open, hasToken, sentence } from "./net.js";
import { state, progress, time, who } from "./views.js";

const logKept = 64 << 10; // characters of a log that are shown, the last ones
const saveMost = 256 << 20; // a file larger than this is not taken through the page's memory

const ended = ["completed", "failed", "cancelled"];
const title = (t) => (t.index < 0 ? "gather" : String(t.index));
const at = (id, task) => `#/job/${encodeURIComponent(id)}` + (task === undefined ? "" : `/${task}`);
const path = (...parts) => parts.map(encodeURIComponent).join("/");
const took = (t) => (t.started ? span((Date.parse(t.ended || new Date().toISOString()) - Date.parse(t.started)) / 1e3) : "");

let id = "", job = null, chosen = null; // chosen: the index of the task that is open
let listed = ""; // the state of the job whose results are listed
const log = { stop: null, key: "", text: "", cut: false };

const tasks = new Table(by("tasks"), {
  label: "Tasks", key: (t) => t.index, empty: "No such tasks.", columns: [
    { name: "Task", cell: (t) => ({ text: title(t), href: at(id, t.index) }), sort: (t) => t.index },
    { name: "State", cell: (t) => state(t.state), sort: (t) => t.state },
    { name: "Attempt", cell: (t) => String(t.attempt), sort: (t) => t.attempt }, { name: "Worker", cell: (t) => who(t.worker) },
    { name: "Progress", cell: (t) => [{ part: t.progress }, ` ${Math.round(t.progress * 100)} % ${t.message || ""}`], sort: (t) => t.progress, mark: "wide" },
    { name: "Failed, lost", cell: (t) => `${t.failures}, ${t.lost}`, sort: (t) => t.failures + t.lost },
    { name: "Started", cell: (t) => time(t.started), sort: (t) => t.started || "" }, { name: "Took", cell: took },
    { name: "Exit", cell: (t) => t.exit !== undefined && String(t.exit) },
    { name: "Last error", cell: (t) => { const e = (t.errors || []).at(-1); return e && `${e.cause}${e.detail ? ": " + e.detail : ""}`; }, mark: "wide" },
  ],
});
const errors = new Table(by("task-errors"), {
  label: "Errors by attempt", key: (e) => `${e.attempt} ${e.at}`, size: Infinity, empty: "None.", columns: [
    { name: "Attempt", cell: (e) => String(e.attempt) }, { name: "Cause", cell: (e) => e.cause + (e.class && e.class !== e.cause ? ` (${e.class})` : "") },
    { name: "Worker", cell: (e) => who(e.worker) }, { name: "When", cell: (e) => time(e.at) }, { name: "Detail", cell: (e) => e.detail, mark: "wide" },
  ],
});
const excluded = new Table(by("job-excluded"), {
  label: "What keeps workers from its first waiting task", key: (x) => x.reason + x.what, size: Infinity, empty: "", columns: [
    { name: "Condition", cell: (x) => x.condition, mark: "wide" }, { name: "Workers", cell: (x) => `${x.workers}, ${x.alone} for nothing else` },
    { name: "What would change it", cell: (x) => x.change, mark: "wide" }, { name: "Code", cell: (x) => x.reason },
  ],
});
const results = new Table(by("results"), {
  label: "Files", key: (f) => f.path, empty: "", columns: [
    { name: "File", cell: (f) => ({ text: f.path || f.cid, href: f.href, save: f.size, download: /\.(png|jpe?g|gif|webp)$/i.test(f.path) ? undefined : "" }), mark: "wide" },
    { name: "Size", cell: (f) => bytes(f.size), sort: (f) => f.size },
  ],
});

const poll = new Poll("This job", 3e3, () => `/jobs/${path(id)}?stale=true`, show);
const files = new Poll("Results", 60e3, () => `/jobs/${path(id)}/results`, (v) => {
  results.show(v.files.map((f) => ({ ...f, href: f.path ? `/jobs/${path(id)}/results/${path(...f.path.split("/"))}` : `/blobs/${path(f.cid || v.cid)}` })));
  say(by("results-note"), v.files.length ? "" : "It left no files.");
});

function show(j) {
  job = j;
  const open = !ended.includes(j.state);
  poll.every = open ? 3e3 : 15e3;
  say(by("job-title"), `Job ${j.name || short(j.id)}`);
  const w = j.waitingFor;
  fill(by("job-why"), [
    j.stale && { text: "Its shard does not answer; this is the last that was heard. ", kind: "warn" },
    w && `Waits for ${w.task < 0 ? "its gather task" : "task " + w.task}: ${w.sentence} (${w.code}). `,
    j.reason && { text: `${j.reason.sentence} (${j.reason.code})`, kind: j.state === "failed" ? "bad" : "plain" },
  ].filter(Boolean).concat(" "));
  by("job-excluded").hidden = !w?.excluded?.length;
  excluded.show(w?.excluded || []);
  facts(by("job-facts"), [
    ["Id", j.id], ["Type", j.type], ["State", state(j.state)], ["Tasks done", progress(j.counts)],
    ["Gather task", j.gather && j.gather.state], ["Priority", String(j.priority)], ["Round", j.round > 1 && String(j.round)], ["Shard", String(j.shard)],
    ["Coordinator", who(j.coordinator)], ["Submitted", time(j.submitted)], ["First assigned", time(j.started)], ["Ended", time(j.ended)],
    ["Kept until", time(j.keptUntil)], ["As of", time(j.asOf)], ["Client address", j.clientAddress], ["Client key", j.clientKey],
    ["Result", j.result], ["Proof", !open && { text: "proof.json", href: `/jobs/${path(j.id)}/proof`, save: 0, download: `proof-${short(j.id)}.json` }],
  ]);
  showTasks();
  say(by("spec"), j.spec ? JSON.stringify(j.spec, null, 2) : "");
  if (open) {
    files.stop();
    results.show([]);
    say(by("results-note"), "There are none before it has ended.");
  } else if (listed !== j.state + j.round) files.start();
  listed = j.state + j.round;
}

const all = () => (job ? [...(job.tasks || []), ...(job.gather ? [job.gather] : [])] : []);

function showTasks() {
  const wanted = by("task-state").value;
  tasks.empty = job ? "No such task." : "";
  tasks.show(wanted ? all().filter((t) => t.state === wanted) : all());
  const t = all().find((t) => t.index === chosen);
  by("task").hidden = !t;
  if (!t) return endLog();
  say(by("task-title"), t.index < 0 ? "Gather task" : `Task ${t.index}`);
  facts(by("task-facts"), [
    ["State", [state(t.state), t.deadLetter && " given up for its own failures"].filter(Boolean)], ["Worker", who(t.worker)],
    ["Attempts", `${t.attempt}; ${t.failures} failed, ${t.lost} lost in this round`], ["Started", time(t.started)], ["Ended", time(t.ended)], ["Took", took(t)],
    ["Output", t.output], ["Held by", t.holders && t.holders.flatMap((h, i) => [i ? ", " : " ", who(h)])],
  ]);
  errors.show((t.errors || []).slice().reverse());
  const attempts = by("log-attempt"), newest = String(t.attempt);
  if (attempts.dataset.for !== `${id} ${t.index} ${newest}`) {
    attempts.dataset.for = `${id} ${t.index} ${newest}`;
    attempts.replaceChildren(...Array.from({ length: Math.min(100, t.attempt) }, (_, i) => new Option(String(t.attempt - i))));
  }
  const running = attempts.value === newest && (t.state === "running" || t.state === "assigned");
  follow(t, attempts.value, by("log-stream").value, running);
}

function endLog() {
  log.stop?.abort();
  Object.assign(log, { stop: null, key: "", text: "", cut: false });
  say(by("log"), "");
}

/** follow shows a log: to its end, or for as long as its attempt goes on. */
async function follow(t, attempt, stream, running) {
  const key = [id, t.index, attempt, stream, running].join(" ");
  if (log.key === key) return;
  endLog();
  log.key = key;
  if (!Number(attempt)) return say(by("log-note"), "It has not begun.");
  const stop = log.stop = new AbortController();
  const note = (text) => { if (log.stop === stop) say(by("log-note"), text); };
  note("Reading.");
  try {
    const q = new URLSearchParams({ task: t.index, attempt, stream, ...(running && { follow: true }) });
    const reader = (await open(`/jobs/${path(id)}/logs?${q}`, stop.signal, "text/plain")).body.getReader();
    const decoder = new TextDecoder();
    let timer = 0;
    for (;;) {
      const { done, value } = await reader.read();
      if (log.stop !== stop) return;
      log.text += decoder.decode(value, { stream: !done });
      if (log.text.length > 2 * logKept) [log.text, log.cut] = [log.text.slice(-logKept), true];
      timer ||= setTimeout(() => { timer = 0; if (log.stop === stop) drawLog(); }, 250);
      if (done) break;
    }
    drawLog();
    note(log.cut ? "The end of it; ciro job logs shows all." : log.text ? "" : "It printed nothing.");
  } catch (e) {
    note(`The log could not be read: ${sentence(e)}.`);
    if (running) log.key = ""; // the next refresh tries again
  }
}

function drawLog() {
  const pre = by("log"), atEnd = pre.scrollTop + pre.clientHeight >= pre.scrollHeight - 8;
  say(pre, log.text.slice(-logKept));
  if (atEnd) pre.scrollTop = pre.scrollHeight;
  say(by("log-note"), log.cut ? "The end of it; ciro job logs shows all." : "");
}

/** save fetches what a plain link could not, since it carries no token. */
async function save(link) {
  const size = Number(link.dataset.save);
  if (size > saveMost) return say(by("results-note"), `This file is too large for a page with a token: ciro job results ${short(id)} --dest DIR fetches it.`);
  say(by("results-note"), "Fetching.");
  try {
    const url = URL.createObjectURL(await (await open(link.getAttribute("href"), undefined, "*/*")).blob());
    const a = document.createElement("a");
    a.href = url;
    a.download = link.getAttribute("download") || link.textContent.split("/").pop();
    a.click();
    setTimeout(() => URL.revokeObjectURL(url), 60e3);
    say(by("results-note"), "");
  } catch (e) {
    say(by("results-note"), `It could not be fetched: ${sentence(e)}.`);
  }
}
by("job").addEventListener("click", (e) => {
  const link = e.target.closest("a[data-save]");
  if (link && hasToken()) { e.preventDefault(); save(link); }
});
for (const name of ["task-state", "log-attempt", "log-stream"]) by(name).addEventListener("change", showTasks);

export const jobView = {
  polls: [poll],
  asks: [poll, files],
  open(wanted = "", task) {
    try { wanted = decodeURIComponent(wanted); } catch { /* as it is */ }
    const before = chosen;
    chosen = task === undefined || task === "" ? null : Number(task);
    if (wanted !== id) {
      [id, job, listed] = [wanted, null, ""];
      endLog();
      files.stop();
      say(by("job-title"), `Job ${short(id)}`);
      by("job-facts").replaceChildren();
      for (const table of [tasks, excluded, results]) { table.page = 0; table.show([]); }
      fill(by("job-why"), "The job's shard is being asked.");
      say(by("spec"), "");
      say(by("results-note"), "");
      if (poll.on) poll.again();
    }
    showTasks();
    if (chosen !== null && chosen !== before && job) by("task-title").focus();
  },
  close() { files.stop(); endLog(); listed = ""; },
  hear(e) { if (job && e.job === job.id) poll.soon(e.kind === "progress" ? 2e3 : 500); },
};
