// What this page asks the node, and how: one door for all requests, polls that
// pause and back off, and the event stream. Nothing here touches the document
// but to learn whether it is hidden.

const slowest = 60e3; // between two polls, however long an answer takes
const quiet = 45e3; // without a byte, a stream is dead: the node sends one every 15 s
const tokenKey = "ciroToken";

/** The state of the connection; whoever shows it reads it here. */
export const link = { heard: 0, down: 0, next: 0, login: false, refused: false };

let token = "";
try { token = sessionStorage.getItem(tokenKey) || ""; } catch { /* storage is off: the token lives as long as the page */ }

/** Problem is a refusal of the node's. */
export class Problem extends Error {
  constructor(status, doc, after) {
    super(doc.detail || `the node answered ${status}`);
    Object.assign(this, { status, code: doc.code || "", next: doc.next || "", after });
  }
}

/** Says what went wrong in one sentence. */
export function sentence(e) {
  if (e instanceof Problem) return e.next ? `${e.message}; ${e.next}` : e.message;
  return e.name === "AbortError" ? "no answer in time" : "no answer";
}

/** useToken takes what a person typed. */
export function useToken(text) {
  token = text.trim();
  try { sessionStorage.setItem(tokenKey, token); } catch { /* see above */ }
  link.login = link.refused = false;
  wake();
}

/** hasToken says whether plain links would be refused. */
export const hasToken = () => token !== "";

/** open sends a GET and gives the answer once its head is there, or throws a Problem. */
export async function open(path, signal, accept = "application/json") {
  const headers = { Accept: accept };
  const sent = token;
  if (sent) headers.Authorization = "Bearer " + sent;
  const answer = await fetch(path, { headers, signal, cache: "no-store", credentials: "omit", redirect: "error" });
  if (answer.ok) return answer;
  let doc = {};
  try { doc = await answer.json(); } catch { /* not one of the node's documents */ }
  if (answer.status === 401 && sent === token) {
    link.login = true;
    link.refused = sent !== "";
    announce();
  }
  throw new Problem(answer.status, doc, Number(answer.headers.get("Retry-After")) * 1e3);
}

/** get fetches one JSON document, within limit milliseconds. */
export async function get(path, limit = 30e3) {
  const stop = new AbortController();
  const timer = setTimeout(() => stop.abort(), limit);
  try {
    return await (await open(path, stop.signal)).json();
  } finally {
    clearTimeout(timer);
  }
}

/** Poll asks for one document again and again while it is on: every so often, ten
 * times as rarely as an answer takes, never two at a time, and not at all while
 * the tab is hidden, the node is gone, or a token is wanted. */
export class Poll {
  constructor(label, every, path, show) {
    Object.assign(this, { label, every, path, show, missing: [], on: false, asking: false, round: 0, took: 0, at: 0, failure: null, hold: 0 });
    polls.push(this);
  }
  start() { this.on = true; this.again(); }
  stop() { this.on = this.asking = false; this.round++; this.failure = null; this.missing = []; clearTimeout(this.timer); }
  /** again asks now, and drops an answer that is still under way. */
  again() {
    this.round++;
    this.asking = false;
    this.ask();
  }
  /** soon asks sooner than planned, but not within gap of the last answer. */
  soon(gap) {
    if (!this.on || this.asking || this.failure) return;
    this.plan(Math.max(0, this.at + Math.max(gap, this.took * 10) - Date.now()));
  }
  plan(wait) {
    const due = Date.now() + wait;
    if (this.due > Date.now() && this.due < due) return;
    clearTimeout(this.timer);
    this.due = due;
    this.timer = setTimeout(() => this.ask(), wait);
  }
  async ask() {
    clearTimeout(this.timer);
    this.due = 0;
    if (!this.on || this.asking || paused(this)) return;
    const round = this.round, began = performance.now();
    this.asking = true;
    let value, failure = null;
    try { value = await get(this.path()); } catch (e) { failure = e; }
    if (round !== this.round) return;
    this.asking = false;
    this.took = performance.now() - began;
    if (failure instanceof Problem || !failure) cameBack();
    else lost(this);
    this.failure = failure;
    if (!failure) {
      this.at = Date.now();
      this.missing = value.unanswered || [];
      this.show(value);
    }
    announce();
    this.plan(this === heart && link.down ? link.next - Date.now()
      : Math.min(slowest, Math.max(this.every * (failure ? 2 : 1), this.took * 10, failure?.after || 0)));
  }
}

const polls = [];
const watchers = [];
let heart = null, tries = 0;

/** beat makes a poll the one that decides whether the node is there. */
export function beat(poll) {
  heart = poll;
  poll.start();
}

/** watchLink calls f whenever something about the connection may have changed. */
export const watchLink = (f) => watchers.push(f);
const announce = () => watchers.forEach((f) => f());

const paused = (poll) => document.hidden || link.login || (link.down && poll !== heart);

/** retry asks a node that is gone now. */
export const retry = () => heart.again();

function lost(poll) {
  if (poll !== heart) {
    if (!link.down) heart.again();
    return;
  }
  link.down ||= Date.now();
  link.next = Date.now() + Math.min(30e3, 1e3 * 2 ** tries++);
}

function cameBack() {
  link.heard = Date.now();
  if (!link.down) return;
  link.down = tries = 0;
  wake();
}

function wake() {
  announce();
  for (const p of polls) if (p.on && !p.asking) p.ask();
  for (const s of streams) s.run();
}
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) wake();
  else streams.forEach((s) => s.end());
});

const streams = [];

/** Stream follows the node's events: hear gets each, gap is called when some may be missing. */
export class Stream {
  constructor(path, hear, gap) {
    Object.assign(this, { path, hear, gap, stopper: null, wait: 1e3, says: "", opened: false });
    streams.push(this);
    this.run();
  }
  end() { this.stopper?.abort(); }
  async run() {
    clearTimeout(this.timer);
    if (this.stopper || paused(this)) return;
    const stopper = this.stopper = new AbortController();
    try {
      await this.read(stopper);
      this.says = "The stream ended.";
    } catch (e) {
      this.says = `The stream broke off: ${sentence(e)}.`;
    }
    clearTimeout(this.dead);
    this.stopper = null;
    announce();
    this.timer = setTimeout(() => this.run(), this.wait);
    this.wait = Math.min(30e3, this.wait * 2);
  }
  async read(stopper) {
    const alive = () => { clearTimeout(this.dead); this.dead = setTimeout(() => stopper.abort(), quiet); };
    alive();
    const reader = (await open(this.path, stopper.signal, "text/event-stream")).body.getReader();
    if (this.opened) this.gap();
    this.opened = true;
    this.says = "";
    announce();
    const decoder = new TextDecoder();
    for (let text = "";;) {
      const { done, value } = await reader.read();
      if (done) return;
      alive();
      text += decoder.decode(value, { stream: true });
      const frames = text.split("\n\n");
      text = frames.pop();
      if (text.length > 1 << 20) throw new Problem(0, { detail: "an event was too long" });
      frames.forEach((f) => this.frame(f));
    }
  }
  frame(text) {
    const field = (name) => text.split("\n").find((l) => l.startsWith(name + ": "))?.slice(name.length + 2);
    const data = field("data");
    if (!data) return; // a comment
    this.wait = 1e3;
    const value = JSON.parse(data), kind = field("event");
    if (kind === "error") throw new Problem(value.status, value);
    if (kind !== "end") this.hear(value);
  }
}
