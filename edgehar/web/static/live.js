// The live page: pictures, answers and the last hour of all cameras.
import { api, element, percent, root, t } from "./app.js";
import { Feed, showImage } from "./feed.js";
import { colorOf, drawStrip } from "./strip.js";

const STRIP_EVERY_MS = 10_000;

const grid = document.getElementById("cameras");
const lost = document.getElementById("connection");
const cards = [];

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
    this.showBars();
  }

  showBars() {
    const list = this.node.querySelector(".bars");
    list.replaceChildren();
    this.bars.clear();
    for (const label of this.camera.labels) this.addBar(list, label);
  }

  // A model that takes over may have other labels and thresholds.
  async renew() {
    if (this.renewing) return;
    this.renewing = true;
    try {
      const { cameras } = await api("cameras");
      this.camera = cameras[this.index];
      this.showBars();
    } finally {
      this.renewing = false;
    }
  }

  addBar(list, label) {
    const action = this.camera.actions.indexOf(label);
    const fill = element("span", { class: "fill" });
    const value = element("span", { class: "value", text: "–" });
    const track = element("span", { class: "track", "aria-hidden": "true" }, fill);
    if (action >= 0) {
      const mark = element("span", { class: "mark" });
      mark.style.left = `${100 * this.camera.marks[label]}%`;
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

  show(kind, bytes, type) {
    showImage(this[kind], bytes, type);
    if (kind === "picture") this.blank.hidden = true;
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
    const scores = Object.entries(state.scores);
    if (scores.length && (scores.length !== this.bars.size || scores.some(([label]) => !this.bars.has(label)))) this.renew().catch(() => {});
    for (const [label, score] of scores) {
      const bar = this.bars.get(label);
      if (!bar) continue;
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
  new Feed("input=1", show, (isLost) => { lost.hidden = !isLost; });
  showStrips();
  setInterval(showStrips, STRIP_EVERY_MS);
}

function showStrips() {
  if (document.hidden) return;
  for (const card of cards) card.showStrip().catch(() => {});
}

function show({ camera, kind, type, body }) {
  const card = cards[camera];
  if (kind === "state") card.showState(JSON.parse(new TextDecoder().decode(body)));
  else card.show(kind, body, type);
}

addEventListener("visibilitychange", showStrips);
addEventListener("resize", showStrips);

start().catch(() => {
  grid.removeAttribute("aria-busy");
  lost.hidden = false;
  setTimeout(() => location.reload(), 5000);
});
