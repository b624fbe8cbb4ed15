// The live page: one connection brings pictures and answers of all cameras; it rests while nobody looks.
import { api, element, percent, root, t, toLogIn } from "./app.js";
import { readParts } from "./parts.js";
import { colorOf, drawStrip } from "./strip.js";

const RETRY_MS = [500, 1000, 2000, 5000];
const STRIP_EVERY_MS = 10_000;
const SILENT_MS = 8000;

const grid = document.getElementById("cameras");
const lost = document.getElementById("connection");
const cards = [];
let connection = null;
let failures = 0;

class Card {
  constructor(camera, index) {
    this.camera = camera;
    this.index = index;
    this.node = document.getElementById("camera").content.cloneNode(true).firstElementChild;
    const find = (selector) => this.node.querySelector(selector);
    this.picture = find(".picture");
    this.input = find(".input");
    this.blank = find(".blank");
    this.strip = find(".strip");
    this.urls = new Map();
    this.picture.addEventListener("load", () => {
      const { naturalWidth: width, naturalHeight: height } = this.picture;
      const alone = grid.classList.contains("one");
      if (width && alone) find(".stage").style.aspectRatio = `${width} / ${height}`;
    });
    const name = find(".name");
    name.textContent = camera.name;
    name.href = `${root}cameras/${encodeURIComponent(camera.camera)}`;
    this.node.setAttribute("aria-label", camera.name);
    this.picture.alt = t("live.picture-of", { camera: camera.name });
    this.input.alt = t("live.input-of", { camera: camera.name });
    find(".seen").hidden = camera.pictures === "none";
    this.blank.textContent = t(camera.pictures === "none" ? "live.no-pictures" : "live.waiting");
    this.bars = new Map();
    for (const label of camera.labels) this.addBar(find(".bars"), label);
  }

  addBar(list, label) {
    const action = this.camera.actions.indexOf(label);
    const fill = element("span", { class: "fill" });
    const value = element("span", { class: "value", text: "–" });
    const track = element("span", { class: "track", "aria-hidden": "true" }, fill);
    if (action >= 0) {
      const mark = element("span", { class: "mark" });
      mark.style.left = `${100 * this.camera.thresholds[label]}%`;
      track.append(mark);
      fill.style.background = colorOf(action);
    }
    const dot = element("span", { class: "dot", "aria-hidden": "true" });
    if (action >= 0) dot.style.background = colorOf(action);
    const name = element("span", { class: "of" }, dot, element("span", { class: "word", text: label, title: label }));
    const item = element("li", {}, name, track, value);
    list.append(item);
    this.bars.set(label, { fill, value, item });
  }

  showImage(kind, bytes, type) {
    const image = this[kind];
    const url = URL.createObjectURL(new Blob([bytes], { type }));
    image.src = url;
    image.hidden = false;
    if (kind === "picture") this.blank.hidden = true;
    if (this.urls.has(kind)) URL.revokeObjectURL(this.urls.get(kind));
    this.urls.set(kind, url);
  }

  showState(state) {
    const running = state.state === "running" && state.fresh;
    this.node.classList.toggle("off", !running);
    const badge = this.node.querySelector(".state");
    const text = running ? t("live.running") : t(`state.${state.state === "running" ? "frozen" : state.state}`);
    if (badge.textContent !== text) badge.textContent = text;
    const none = state.label === null;
    this.node.querySelector(".label").textContent = none ? "" : this.word(state.label);
    this.node.querySelector(".score").textContent = none ? t("live.no-answer") : percent(state.score);
    for (const [label, score] of Object.entries(state.scores)) {
      const bar = this.bars.get(label);
      bar.fill.style.width = `${100 * Math.min(Math.max(score, 0), 1)}%`;
      bar.value.textContent = percent(score);
      bar.item.classList.toggle("best", label === state.label);
    }
    const alarm = this.node.querySelector(".alarm");
    alarm.hidden = state.event === null;
    if (state.event !== null) alarm.textContent = t("live.event", { label: state.event });
    this.node.classList.toggle("alarmed", state.event !== null);
  }

  word(label) {
    return label === "unknown" ? t("label.unknown") : label;
  }

  async showStrip() {
    const strip = await api(`cameras/${encodeURIComponent(this.camera.camera)}/strip`);
    drawStrip(this.strip, strip, this.camera);
  }
}

async function start() {
  const { cameras } = await api("cameras");
  cameras.forEach((camera, index) => {
    cards.push(new Card(camera, index));
    grid.append(cards[index].node);
  });
  grid.classList.toggle("one", cameras.length === 1);
  grid.removeAttribute("aria-busy");
  connect();
  showStrips();
  setInterval(showStrips, STRIP_EVERY_MS);
}

function showStrips() {
  if (document.hidden) return;
  for (const card of cards) card.showStrip().catch(() => {});
}

async function connect() {
  if (connection !== null || document.hidden) return;
  connection = new AbortController();
  const mine = connection;
  let watchdog;
  const expectMore = () => {
    clearTimeout(watchdog);
    watchdog = setTimeout(() => mine.abort(), SILENT_MS);
  };
  try {
    expectMore();
    const answer = await fetch(`${root}api/v1/live?input=1`, { signal: mine.signal });
    if (answer.status === 401) return toLogIn();
    if (!answer.ok) throw new Error(String(answer.status));
    for await (const part of readParts(answer.body)) {
      expectMore();
      failures = 0;
      lost.hidden = true;
      show(part);
    }
    throw new Error("ended");
  } catch {
    if (connection === mine && !document.hidden) {
      lost.hidden = false;
      setTimeout(connect, RETRY_MS[Math.min(failures++, RETRY_MS.length - 1)]);
    }
  } finally {
    clearTimeout(watchdog);
    if (connection === mine) connection = null;
  }
}

function show(part) {
  const card = cards[Number(part.headers.get("x-camera"))];
  const kind = part.headers.get("x-kind");
  if (kind === "state") card.showState(JSON.parse(new TextDecoder().decode(part.body)));
  else card.showImage(kind, part.body, part.headers.get("content-type"));
}

// A phone that sleeps costs nothing; it connects again when it wakes up.
document.addEventListener("visibilitychange", () => {
  if (document.hidden) connection?.abort();
  else {
    connection = null;
    connect();
    showStrips();
  }
});
addEventListener("resize", showStrips);

start().catch(() => {
  grid.removeAttribute("aria-busy");
  lost.hidden = false;
  setTimeout(() => location.reload(), 5000);
});
