import { Timeline, drawLegend, generationOf, runs, time } from "./timeline.js";

const $ = (id) => document.getElementById(id);
const TABS = 4;
const MEANING = {
  issued: "A session began.",
  refreshed: "The refresh token was rotated; new tokens went out.",
  repeated: "The newest tokens were handed out once more: a request was already on its way.",
  recovered: "An answer had got lost; its tokens were given again.",
  reused: "An old refresh token came back: the session was ended.",
  revoked: "A session was ended.",
  rejected: "Cookies came along and were not accepted.",
  cross_origin: "A request from another site was refused.",
  store_unavailable: "The session store failed.",
  clock_skew: "A clock is off.",
};
const LOUD = ["reused", "rejected", "cross_origin", "store_unavailable"];
const others = new BroadcastChannel("asgi_refresh-demo");
const timeline = new Timeline($("timeline"));
const calm = matchMedia("(prefers-reduced-motion: reduce)");

let session = null;      // what /me said last while somebody was signed in
let shown = null;        // the session of the timeline: this one, or the last one
let endsAt = 0;          // of the access token, by this page's clock
let busy = false;        // with something for which the tabs are kept quiet
let copy = null;         // what was stolen: its handle, its generation, when it was made and used
const server = { run: null, last: 0, ahead: 0, events: [] };

const now = () => performance.now() / 1000;
const serverNow = () => now() + server.ahead;
const left = () => endsAt - now();
const sleep = (seconds) => new Promise((resolve) => setTimeout(resolve, 1000 * seconds));
const own = () => server.events.filter((event) => event.session_id === shown);

function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

/** Say it where a screen reader hears it, once. */
function say(id, text, kind = null) {
  if ($(id).textContent !== text) $(id).textContent = text;
  if (kind !== null) $(id).className = `note ${kind}`;
}

function animate(element) {
  element.classList.remove("flash");
  void element.offsetWidth;
  element.classList.add("flash");
}

async function call(path, body) {
  const options = { cache: "no-store" };
  if (body !== undefined) {
    options.method = "POST";
    options.headers = { "content-type": "application/json" };
    options.body = JSON.stringify(body);
  }
  try {
    const response = await fetch(path, options);
    const number = (name) => (response.headers.has(name) ? Number(response.headers.get(name)) : null);
    const answer = { status: response.status, body: await response.json(),
      came: number("demo-came"), given: number("demo-given") };
    $("offline").hidden = true;
    return answer;
  } catch {
    $("offline").hidden = false;
    return { status: 0, body: {}, came: null, given: null };
  }
}

/* --- who is signed in ------------------------------------------------------------------------- */

async function look() {
  const answer = await call("/me");
  if (answer.status === 200) show(answer.body);
}

function show(me) {
  const signedIn = me.subject !== null;
  const before = session;
  session = signedIn ? me : null;
  $("signed-in").hidden = !signedIn;
  $("sign-in").hidden = signedIn;
  enable();
  if (signedIn) {
    endsAt = now() + me.seconds_left;
    if (before?.session_id !== me.session_id) begin(me);
  } else if (before !== null) {
    endsAt = now();
    explain();
  }
  tick();
}

function begin(me) {
  shown = me.session_id;
  $("subject").textContent = me.subject;
  $("session").textContent = me.session_id.slice(0, 8);
  $("ended").hidden = true;
  $("again").hidden = true;
  if (copy !== null && copy.session_id !== shown) {
    copy = null;
    say("thief-said", "Nothing is stolen yet.", "");
  }
  tellOfCopy();
  draw();
}

/** A button that can do nothing keeps the focus, and says so. */
function enable() {
  const set = (button, can) => button.setAttribute("aria-disabled", String(!can));
  for (const button of document.querySelectorAll("[data-needs-session]")) {
    set(button, session !== null && !(busy && button !== $("steal")));
  }
  set($("replay"), copy !== null && !copy.caught && copy.session_id === shown);
}

/** Why nobody is signed in any more. */
async function explain() {
  await readEvents();
  if (session !== null) return;
  const stolen = own().some((event) => event.name === "reused");
  const over = own().some((event) => event.name === "revoked");
  const why = stolen ? "An old refresh token came back, so your session was ended. Sign in again."
    : over ? null : "Your session is no longer known to the server. Sign in again.";
  $("ended").hidden = why === null;
  $("ended").textContent = why ?? "";
}

function tick() {
  const seconds = Math.max(0, left());
  const over = session !== null && seconds === 0;
  $("seconds").hidden = session === null;
  $("seconds").textContent = Math.ceil(seconds);
  $("seconds").parentElement.classList.toggle("over", over);
  $("unit").textContent = session === null ? "Nobody is signed in."
    : over ? "The access token has ended. You are still signed in: the next request brings another."
      : seconds < server.refresh_before ? "seconds left: the next request brings a new access token"
        : "seconds left of the access token";
}

async function signIn(event) {
  event.preventDefault();
  const answer = await call("/login", { name: $("name").value, password: $("password").value });
  $("sign-in-error").hidden = answer.status === 200 || answer.status === 0;
  $("sign-in-error").textContent = answer.body.error ?? "";
  $("password").setAttribute("aria-invalid", String(answer.status === 401));
  if (answer.status === 200) await changed();
}

async function signOut(path) {
  const answer = await call(path, {});
  if (answer.status !== 200) return;
  session = null;  // as was wished: there is nothing to explain
  await changed();
}

async function changed() {
  others.postMessage("changed");
  await look();
  await readEvents();
  $(session === null ? "name" : "you-title").focus();
}

/* --- tabs side by side ------------------------------------------------------------------------ */

const tabs = Array.from({ length: TABS }, (_, index) => {
  const tab = {
    number: index + 1,
    generation: make("p", { className: "gen", textContent: "–" }),
    says: make("p", { className: "says", textContent: "Has not asked yet." }),
    past: make("ul", { className: "past", ariaHidden: "true" }),
  };
  const button = make("button", { textContent: "Ask", onclick: () => ask(tab) });
  button.setAttribute("aria-label", `Ask: one request from tab ${tab.number}`);
  const head = make("header", {}, make("h3", { textContent: `Tab ${tab.number}` }), button);
  tab.element = make("li", { className: "tab" }, head, tab.generation, tab.says, tab.past);
  $("tabs").append(tab.element);
  return tab;
});

/** One request of one tab; shown is what went over the wire. */
async function ask(tab, query = "") {
  const answer = await call(`/me?tab=${tab.number}${query}`);
  const { came, given, body } = answer;
  const good = answer.status === 200 && body.subject !== null;
  const lost = query.includes("lost");
  const small = make("small", { textContent: "generation " });
  const number = !good ? "–" : given === null ? String(came ?? "–") : `${came} → ${lost ? "lost" : given}`;
  tab.generation.replaceChildren(small, number);
  tab.says.textContent = !good ? "Not signed in."
    : lost ? "Refreshed; the new cookies got lost."
      : given !== null ? "Came with the old token, was given the new one."
        : "Came with a good token. Nothing to do.";
  const kind = !good ? "fail" : given !== null ? "fresh" : "plain";
  tab.past.prepend(make("li", { className: kind }));
  while (tab.past.children.length > 12) tab.past.lastChild.remove();
  if (given !== null) animate(tab.element);
  if (answer.status === 200) show(body);
  return { ...answer, good };
}

/** Keep the tabs quiet until a refresh is due, then do it. */
async function whenDue(id, action) {
  busy = true;
  enable();
  say(id, "Waiting, without a request, until the access token is due…", id === "lost-said" ? "" : null);
  while (session !== null && left() > server.refresh_before - 0.2) await sleep(0.05);
  if (session !== null) await action();
  else say(id, "Nobody is signed in any more.");
  busy = false;
  enable();
}

async function together() {
  const answers = await Promise.all(tabs.map((tab) => ask(tab, "&hold")));
  const good = answers.filter((answer) => answer.good);
  const fresh = good.filter((answer) => answer.given !== null);
  const list = (values) => [...new Set(values)].sort((a, b) => a - b).join(" and ");
  const parts = [`${good.length} of ${TABS} tabs were answered, signed in.`];
  if (fresh.length === 0) parts.push("None needed a refresh: another tab was first.");
  else {
    parts.push(`${fresh.length} came with generation ${list(fresh.map((a) => a.came))},`
      + ` and were given generation ${list(fresh.map((a) => a.given))}.`);
  }
  const sessions = new Set(good.map((answer) => answer.body.session_id)).size;
  parts.push(sessions === 1 ? "It is one session still." : `There are ${sessions} sessions.`);
  say("together-said", parts.join(" "));
}

async function lose() {
  const [tab] = tabs;
  const first = await ask(tab, "&lost=1");
  if (first.given === null) {
    say("lost-said", "There was nothing to lose: another tab was first. Try again.");
    return;
  }
  say("lost-said", `Generation ${first.given} was sent, and got lost. The browser stays away for`
    + ` ${server.window + 0.5} seconds…`);
  await sleep(server.window + 0.5);
  const second = await ask(tab);
  const same = second.good && second.body.session_id === first.body.session_id;
  say("lost-said", `It came back with generation ${second.came}`
    + (second.given === null ? "." : `, and was given generation ${second.given}.`)
    + (same ? " Still the same session." : " It is signed out."), same ? "good" : "bad");
}

/* --- the thief -------------------------------------------------------------------------------- */

async function steal() {
  const answer = await call("/steal", {});
  if (answer.status === 200) {
    copy = { ...answer.body, at: serverNow(), used: null };
    tellOfCopy();
    draw();
  } else if (answer.status !== 0) say("thief-said", answer.body.error, "bad");
}

function tellOfCopy() {
  enable();
  if (copy === null || copy.caught || copy.session_id !== shown || session === null) return;
  const behind = generationOf(own()) - copy.generation;
  const two = " Wait for the next refresh.";
  say("thief-said", `The thief has generation ${copy.generation}. ` + (
    behind <= 0 ? "So have you: used now, it would be let in. Wait for two refreshes."
      : behind === 1 ? "You are one ahead: used now, it would pass for a lost answer." + two
        : `You are ${behind} ahead: used now, it is found out.`), behind >= 2 ? "good" : "");
}

async function replay() {
  const answer = await call("/replay", { copy: copy.copy });
  if (answer.status !== 200) {
    if (answer.status !== 0) say("thief-said", answer.body.error, "bad");
    return;
  }
  copy.used = serverNow();
  await readEvents();
  const found = own().findLast((event) => event.name === "reused");
  if (answer.body.subject !== null) {
    say("thief-said", `The thief was let in as ${answer.body.subject}: nobody can tell the two apart`
      + " yet. Go on browsing, then use the copy again.", "bad");
    return;
  }
  copy.caught = true;
  enable();
  say("thief-said", found === undefined ? "The thief was turned away: the session is over anyway."
    : `Found out: ${found.detail} came back. The thief got nothing, and the session was ended,`
      + " since nobody knows which of the two was you.", "good");
  $("again").hidden = false;
  await look();
  draw();
}

/* --- what the server did ---------------------------------------------------------------------- */

async function readEvents() {
  const { status, body } = await call(`/events?after=${server.last}`);
  if (status !== 200) return;
  if (server.run !== null && server.run !== body.run) {
    await beginAnew(body.run);
    return;
  }
  const { events, ...more } = body;
  const known = server.last;
  Object.assign(server, more, { ahead: body.now - now() });
  for (const element of document.querySelectorAll("[data-say]")) {
    element.textContent = server[element.dataset.say];
  }
  const fresh = events.filter((event) => event.number > server.last);  // two polls may overlap
  server.last = fresh.at(-1)?.number ?? server.last;
  server.events = [...server.events, ...fresh].slice(-400);
  if (fresh.length > 0) tellEvents(known);
}

/** Another store, or another process: nothing of before is known there. */
async function beginAnew(run) {
  Object.assign(server, { run, last: 0, events: [] });
  copy = null;
  say("thief-said", "Nothing is stolen yet.", "");
  tellEvents(0);
  await Promise.all([look(), readStores()]);
  await readEvents();
}

function tellEvents(known) {
  // A theft is the news, not what follows from it.
  const latest = server.events.findLast((event) => !["repeated", "rejected"].includes(event.name)
    && event.reason !== "reused_token");
  say("latest", latest === undefined ? "Nothing has happened yet." : `${time(latest.at)} – `
    + `${latest.name}. ${MEANING[latest.name]}`
    + (latest.generation === null ? "" : ` Generation ${latest.generation}.`));
  const lines = runs(server.events).reverse().map((entry) => line(entry, known));
  $("log").replaceChildren(...(lines.length ? lines : [make("li", { textContent: "Nothing yet." })]));
  tellOfCopy();
  draw();
}

function line(entry, known) {
  const why = [entry.reason === "current" ? null : entry.reason, entry.detail].filter(Boolean).join(", ");
  const what = [MEANING[entry.name] ?? "", why && `Reason: ${why}.`,
    entry.generation !== null && entry.detail === null && `Generation ${entry.generation}.`];
  const who = [entry.subject, entry.session_id?.slice(0, 8)].filter(Boolean).join(" · ");
  const name = entry.times > 1 ? `${entry.name} × ${entry.times}` : entry.name;
  const item = make("li", { className: LOUD.includes(entry.name) ? "loud" : "" },
    make("time", { textContent: time(entry.at) }), make("span", { className: "mono", textContent: name }),
    make("span", { className: "who", textContent: who }),
    make("span", { className: "what", textContent: what.filter(Boolean).join(" ") }));
  if (entry.number > known) animate(item);
  return item;
}

/* --- stores ----------------------------------------------------------------------------------- */

async function readStores() {
  const { status, body } = await call("/stores");
  if (status !== 200) return;
  const options = body.stores.map(({ name, label, about, missing }) => {
    const radio = make("input", { type: "radio", name: "store", value: name,
      checked: name === body.current, disabled: missing !== null, required: true });
    const text = missing === null ? about : `Not available: ${missing}.`;
    const note = make("span", { className: `soft ${missing === null ? "" : "missing"}`, id: `about-${name}`,
      textContent: text });
    radio.setAttribute("aria-describedby", note.id);
    return make("div", { className: "choice" }, make("label", {}, radio, label), note);
  });
  $("stores").replaceChildren($("stores").querySelector("legend"), ...options);
}

async function choose(event) {
  event.preventDefault();
  const store = new FormData($("store")).get("store");
  const { status, body } = await call("/stores", { store });
  if (status === 200) {
    others.postMessage("changed");
    await readEvents();
    say("store-said", `Begun anew, with ${server.store}. Its sessions are its own: sign in.`);
  } else if (status !== 0) {
    say("store-said", body.error);
    await readStores();
  }
}

/* --- all together ----------------------------------------------------------------------------- */

async function every(seconds, action) {
  for (let turn = 0; ; turn += 1) {
    await action(turn);
    await sleep(seconds);
  }
}

async function heartbeat(turn) {
  if (session !== null && $("heartbeat").checked && !busy) await ask(tabs[turn % TABS]);
}

function draw() {
  const mine = copy !== null && copy.session_id === shown ? copy : null;
  timeline.draw(own(), mine, server, serverNow());
}

function frame() {
  if (!calm.matches) timeline.move(serverNow());
  requestAnimationFrame(frame);
}

$("sign-in").addEventListener("submit", signIn);
$("sign-out").addEventListener("click", () => signOut("/logout"));
$("sign-out-everywhere").addEventListener("click", () => signOut("/logout-everywhere"));
$("together").addEventListener("click", () => whenDue("together-said", together));
$("lose").addEventListener("click", () => whenDue("lost-said", lose));
$("steal").addEventListener("click", steal);
$("replay").addEventListener("click", replay);
$("again").addEventListener("click", () => $("name").focus());
$("store").addEventListener("submit", choose);
others.addEventListener("message", async () => { await readEvents(); await look(); await readStores(); });
document.addEventListener("click", (event) => {
  if (event.target.closest("[aria-disabled=true]")) event.stopPropagation();
}, { capture: true });
new ResizeObserver(draw).observe($("timeline"));

drawLegend($("legend"));
await readEvents();
await Promise.all([look(), readStores()]);
setInterval(tick, 200);
setInterval(() => timeline.move(serverNow()), 1000);
requestAnimationFrame(frame);
every(0.7, readEvents);
every(1, heartbeat);
