// The page: which view is open, what it asks for, and how the connection is.
// Only the open view's documents are asked for.

import { by, say, el, fill, span, clock } from "./dom.js";
import { Poll, Stream, beat, link, watchLink, retry, sentence, useToken } from "./net.js";
import { showStatus, showHealth, peers, views, addEvent, addGap, showStream } from "./views.js";
import { jobView } from "./job.js";

views.job = jobView;
const health = new Poll("Health", 5e3, () => "/network/health", showHealth);
beat(new Poll("This node", 5e3, () => "/status", showStatus));
health.start();
peers.start();

let view = null;

/** route opens the view that the address names: #/jobs, #/job/ID/TASK, #/ledger/SHARD. */
function route() {
  const [name, ...rest] = location.hash.slice(2).split("/");
  const next = Object.hasOwn(views, name) ? name : "overview";
  const was = view;
  view = next;
  if (was && was !== next) {
    views[was].polls.forEach((p) => p.stop());
    views[was].close?.();
  }
  for (const s of document.querySelectorAll("main > section")) s.hidden = s.id !== view;
  by("login").hidden = true;
  for (const a of document.querySelectorAll("nav a")) {
    const here = a.hash.slice(2) === (view === "job" ? "jobs" : view);
    if (here) a.setAttribute("aria-current", "page");
    else a.removeAttribute("aria-current");
  }
  views[view].open?.(...rest);
  if (was !== next) views[view].polls.forEach((p) => p.start());
  if (was && was !== next) window.scrollTo(0, 0);
  showLink();
}

/** showLink says how the connection is, and what could not be refreshed. */
function showLink() {
  by("gone").hidden = !link.down || link.login;
  document.body.classList.toggle("old", link.down > 0);
  if (link.down) {
    const since = link.heard ? `since ${clock(link.heard)}. What is shown here is from then` : "so far";
    say(by("gone-what"), `No answer from this node ${since}.`);
    say(by("gone-next"), `Gone for ${span((Date.now() - (link.heard || link.down)) / 1e3)}. ` + (link.next > Date.now() ? `Next try in ${span(Math.ceil((link.next - Date.now()) / 1e3))}.` : "Trying."));
    by("health").className = "state bad";
    say(by("health"), "no answer");
  }
  say(by("fresh"), link.down || link.login || !link.heard ? "" : `heard ${clock(link.heard)}`);
  if (by("login").hidden === link.login) {
    by("login").hidden = !link.login;
    by(view).hidden = link.login;
    if (link.login) by("login-token").focus();
  }
  if (link.login) say(by("login-note"), link.refused ? "The node did not take this token." : "");
  const lines = [];
  if (!link.down && !link.login) {
    for (const p of new Set([health, ...(views[view].asks || views[view].polls)])) {
      if (p.failure) lines.push(`${p.label}: ${p.at ? "not refreshed since " + clock(p.at) : "not loaded"}: ${sentence(p.failure)}.`);
      if (p.missing.length) lines.push(`${p.label}: ${list(p.missing)} did not answer; what they hold is missing.`);
    }
  }
  fill(by("notes"), lines.map((text) => ({ text, kind: "warn" })));
  showStream(stream);
}

const list = (shards) => `${shards.length === 1 ? "shard" : "shards"} ${shards.slice(0, 12).join(", ")}${shards.length > 12 ? ` and ${shards.length - 12} more` : ""}`;

by("login-form").addEventListener("submit", (e) => {
  e.preventDefault();
  const text = by("login-token").value.trim();
  by("login-token").value = "";
  if (/^[\x21-\x7e]+$/.test(text)) useToken(text);
  else say(by("login-note"), "A token has no spaces and no letters beyond ASCII.");
});
by("skip").addEventListener("click", (e) => { e.preventDefault(); by("main").focus(); });
by("gone-now").addEventListener("click", retry);
for (const f of document.querySelectorAll("form.filter")) f.addEventListener("submit", (e) => e.preventDefault());

const stream = new Stream("/events", (e) => {
  addEvent(e);
  views[view].hear?.(e);
}, addGap);

addEventListener("hashchange", route);
watchLink(showLink);
route();
setInterval(() => { if (!document.hidden) showLink(); }, 1e3);
