/** The picture of a session: its tokens as bars, and what the server decided as marks. */

const ROWS = { access: 40, refresh: 112, events: 180, copy: 256 };
const SHAPES = {  // about the origin, told apart without their colours
  issued: "M0-7A7 7 0 1 1 0 7A7 7 0 1 1 0-7Z",
  refreshed: "M0-8L8 0L0 8L-8 0Z",
  repeated: "M0-5A5 5 0 1 1 0 5A5 5 0 1 1 0-5Z",
  recovered: "M0-8L8 6H-8Z",
  bad: "M-7-4L-4-7L0-3L4-7L7-4L3 0L7 4L4 7L0 3L-4 7L-7 4L-3 0Z",
};
const BAD = ["reused", "revoked", "rejected"];
const MINTS = ["issued", "refreshed", "repeated", "recovered"];
const LOWER = { repeated: 20, bad: 40 };  // so that marks of one moment do not cover each other
const NARROW = 560;

export const time = (seconds) => new Date(1000 * seconds).toLocaleTimeString([], { hour12: false });

/** The newest generation that *events* of one session tell of; null: none. */
export const generationOf = (events) => events.findLast((e) => e.generation !== null)?.generation ?? null;

/** One entry for neighbours of the same moment that say the same. */
export function runs(events) {
  const same = (a, b) => b.at - a.at < 1
    && ["name", "session_id", "reason", "detail", "generation"].every((key) => a[key] === b[key]);
  const result = [];
  for (const entry of events) {
    const last = result.at(-1);
    const repeats = last !== undefined && same(last, entry);
    if (repeats) result.pop();
    result.push({ ...entry, times: repeats ? last.times + 1 : 1 });
  }
  return result;
}

export function drawLegend(list) {
  const item = (picture, text) => {
    const element = document.createElement("li");
    element.append(picture, text);
    list.append(element);
  };
  const swatch = (kind) => Object.assign(document.createElement("span"), { className: `swatch ${kind}` });
  item(swatch("access"), "access token; darker: due for a refresh");
  item(swatch("refresh"), "refresh token, by generation");
  item(swatch("grace"), "the one before is still taken");
  for (const kind of Object.keys(SHAPES)) {
    const box = { width: 18, height: 18, viewBox: "-9 -9 18 18", "aria-hidden": "true" };
    item(svg("svg", box, mark(kind, 0, 0)), kind === "bad" ? BAD.join(", ") : kind);
  }
}

export class Timeline {
  #place;
  #moving = null;  // everything that time carries to the left
  #x = (at) => at;

  constructor(place) {
    this.#place = place;
  }

  /**
   * Draw it all; what `move` does needs no drawing.
   *
   * events: those of one session, oldest first. copy: what a thief has of it, or null.
   * settings: access_lifetime, refresh_before, window. now: the server's clock, in seconds.
   */
  draw(events, copy, settings, now) {
    const width = this.#place.clientWidth;
    if (width === 0 || settings.access_lifetime === undefined) return;
    const narrow = width < NARROW;
    const ahead = settings.access_lifetime + 1;
    const past = (narrow ? 2 : 4) * ahead;
    const scale = width / (past + ahead);
    const start = events[0]?.at ?? now;
    const height = ROWS.copy + (copy === null ? -24 : 30);
    const x = (at) => (at - start) * scale;
    this.#x = (at) => past * scale - x(at);
    this.#moving = svg("g", {}, ...content(events, copy, settings, now - past, x));
    const nowX = past * scale;
    this.#place.replaceChildren(svg("svg",
      { width, height, role: "img", "aria-labelledby": "picture-title", "aria-describedby": "picture-text" },
      svg("title", { id: "picture-title" }, "Timeline of the tokens and of every refresh"),
      svg("desc", { id: "picture-text" }, inWords(events)),
      ...axis(narrow ? 10 : 5, { past, ahead, scale, width, height }), this.#moving,
      svg("rect", { x: nowX, y: 20, width: width - nowX, height: height - 20, class: "ahead" }),
      svg("line", { x1: nowX, x2: nowX, y1: 18, y2: height, class: "nowline" }),
      ...labels(copy)));
    this.move(now);
  }

  move(now) {
    this.#moving?.setAttribute("transform", `translate(${this.#x(now).toFixed(1)} 0)`);
  }
}

function svg(tag, attributes, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

function mark(kind, x, y, ...title) {
  const attributes = { d: SHAPES[kind], class: `mark ${kind}`, transform: `translate(${x} ${y})` };
  return svg("path", attributes, ...title);
}

function bar(kind, y, from, to, text = "") {
  const size = { x: from, y, width: Math.max(0, to - from), height: 20, rx: 4 };
  return [svg("rect", { ...size, class: kind }), svg("text", { x: from + 7, y: y + 15 }, text)];
}

function inWords(events) {
  if (events.length === 0) return "Nothing yet.";
  const count = (name) => events.filter((event) => event.name === name).length;
  const counts = ["refreshed", "repeated", "recovered", "reused", "revoked"]
    .map((name) => `${count(name)} ${name}`).join(", ");
  return `Generation ${generationOf(events)}; so far: ${counts}. The event log has each of them.`;
}

function axis(step, { past, ahead, scale, width, height }) {
  const parts = [];
  for (let at = -Math.floor(past / step) * step; at <= ahead; at += step) {
    const x = (past + at) * scale;
    parts.push(svg("line", { x1: x, x2: x, y1: 18, y2: height, class: "tick" }));
    const text = at === 0 ? "now" : at > 0 ? `+${at} s` : `${-at} s ago`;
    if (x > 24 && x < width - 20) {
      parts.push(svg("text", { x, y: 12, class: "axis", "text-anchor": "middle" }, text));
    }
  }
  return parts;
}

function labels(copy) {
  const label = (y, text) => svg("text", { x: 4, y, class: "label" }, text);
  const all = [label(34, "Access token"), label(106, "Refresh token"), label(164, "Events")];
  return copy === null ? all : [...all, label(ROWS.copy - 8, "The thief’s copy")];
}

/** Everything at its time, as far as it reaches beyond *since*. */
function content(events, copy, settings, since, x) {
  const end = events.find((event) => event.name === "reused" || event.name === "revoked")?.at ?? Infinity;
  const far = Math.min(end, (events.at(-1)?.at ?? 0) + 300);
  const parts = [...accessBars(events, settings, since, end, x), ...refreshBars(events, settings, since, far, x)];
  if (copy !== null) {
    parts.push(...bar("copy", ROWS.copy, x(copy.at), x(Math.min(copy.used ?? Infinity, far)), copy.generation));
  }
  if (end !== Infinity) {
    parts.push(svg("line", { x1: x(end), x2: x(end), y1: 24, y2: 300, class: "end" }));
  }
  return [...parts, ...marks(events, since, x)];
}

/** A bar for each moment at which an access token began, whoever asked for it. */
function accessBars(events, { access_lifetime: lifetime, refresh_before: before }, since, end, x) {
  const begun = [];
  for (const event of events) {
    if (MINTS.includes(event.name) && !(event.at - begun.at(-1)?.at < 1)) begun.push(event);
  }
  return begun.flatMap(({ at, generation }, index) => {
    const until = Math.min(at + lifetime, end);
    const due = at + lifetime - before;
    const y = ROWS.access + 26 * (index % 2);  // one still lives when the next begins
    if (until < since) return [];
    const parts = bar("access", y, x(at), x(until), generation);
    return due < until ? [...parts, ...bar("due", y, x(due), x(until))] : parts;
  });
}

/** A bar for each generation, and below it how long the one before is still taken. */
function refreshBars(events, { window }, since, far, x) {
  const first = new Map();
  for (const event of events) {
    if (event.generation !== null && !first.has(event.generation)) first.set(event.generation, event.at);
  }
  const begun = [...first];
  return begun.flatMap(([generation, at], index) => {
    const until = Math.min(begun[index + 1]?.[1] ?? Infinity, far);
    if (until < since) return [];
    const parts = bar("refresh", ROWS.refresh, x(at), x(until), generation);
    const y = ROWS.refresh + 26;
    const over = Math.min(at + window, far);
    return index === 0 ? parts : [...parts, svg("line", { x1: x(at), x2: x(over), y1: y, y2: y, class: "grace" })];
  });
}

function marks(events, since, x) {
  return runs(events).flatMap(({ name, at, times }) => {
    const kind = BAD.includes(name) ? "bad" : name;
    if (!(kind in SHAPES) || at < since) return [];
    const many = times > 1 ? `× ${times}` : "";
    const y = ROWS.events + (LOWER[kind] ?? 0);
    const shape = mark(kind, x(at), y, svg("title", {}, `${time(at)} ${name} ${many}`.trim()));
    return [shape, svg("text", { x: x(at) + 9, y: y + 4 }, many)];
  });
}
