// Labels for moments, two keys or taps each; a lesson; and the new model in shadow, in charge, or rolled back.
import { api, element, language, locale, notice, percent, root, t } from "./app.js";
import { dateTime, labelText } from "./format.js";

const EVERY_MS = 1500, MOST_CLASSES = 9;
const byId = (name) => document.getElementById(name);
let waiting = [], left = 0, classes = [], info;
// What was labeled, so that it can be undone; and the ids that were passed over.
const done = [], passed = new Set();

async function loadInbox() {
  const inbox = await api("inbox?limit=200");
  waiting = inbox.moments.filter((moment) => !passed.has(moment.id));
  left = inbox.waiting;
  classes = inbox.classes;
  showLabeled(inbox.labeled);
  showMoment();
}

function showLabeled(labeled) {
  const rows = Object.entries(labeled).sort(([a], [b]) => a.localeCompare(b, language));
  byId("labeled").replaceChildren(...rows.flatMap(([label, count]) => [
    element("dt", { text: labelText(label) }), element("dd", { text: t("teach.labels", { n: count }) })]));
  byId("needed").hidden = rows.length > 0 && rows.every(([, count]) => count >= 10);
}

function showMoment() {
  const moment = waiting[0];
  byId("place").textContent = left ? t("teach.waiting", { n: left }) : "";
  byId("moment").hidden = !moment;
  byId("nothing").hidden = Boolean(moment) || !info?.inbox;
  byId("back").hidden = done.length === 0;
  byId("new-class").hidden = true;
  if (!moment) return;
  byId("said").textContent = labelText(moment.answer);
  byId("when").textContent = `${moment.camera_name}, ${dateTime(moment.time)}`;
  byId("why").textContent = t(`inbox.${moment.why}`);
  showClip(moment);
  const ordered = Object.entries(moment.scores).sort(([, a], [, b]) => b - a).slice(0, 6);
  byId("bars").replaceChildren(...ordered.map(([label, score]) => bar(label, score, label === moment.answer)));
  byId("choices").replaceChildren(...choicesOf(moment).map(({ key, text, press, open }) => {
    const button = element("button", { type: "button", "aria-keyshortcuts": key, "aria-expanded": open ? "false" : undefined }, element("span", { text }), element("kbd", { text: key }));
    button.addEventListener("click", press);
    return button;
  }));
}

function showClip(moment) {
  const stage = byId("stage");
  stage.hidden = !moment.clip;
  stage.replaceChildren();
  if (!moment.clip) return;
  const video = element("video", { src: `${root}api/v1/inbox/${moment.id}/clip.mp4`, controls: true, playsinline: true, autoplay: true, loop: true, "aria-label": labelText(moment.answer) });
  video.muted = true;
  video.addEventListener("loadedmetadata", () => { if (video.videoWidth) stage.style.aspectRatio = `${video.videoWidth} / ${video.videoHeight}`; });
  video.addEventListener("error", () => { stage.hidden = true; });
  stage.append(video);
}

function bar(label, score, best) {
  const track = element("span", { class: "track" }, element("span", { class: "fill" }));
  track.firstChild.style.width = `${100 * score}%`;
  return element("li", { class: best ? "best" : "" }, element("span", { class: "of" }, element("span", { class: "word", text: labelText(label), title: labelText(label) })),
    track, element("span", { class: "value", text: percent(score) }));
}

function choicesOf(moment) {
  const others = classes.filter((label) => label !== moment.answer).slice(0, MOST_CLASSES);
  return [
    { key: "r", text: t("judge.right"), press: () => judge({ verdict: "right" }) },
    { key: "w", text: t("judge.wrong"), press: () => judge({ verdict: "wrong" }) },
    ...others.map((label, index) => ({ key: String(index + 1), text: labelText(label), press: () => judge({ verdict: "other", label }) })),
    { key: "n", text: t("teach.new"), press: askName, open: true },
  ];
}

function askName() {
  byId("new-class").hidden = false;
  byId("new-class").label.value = "";
  byId("new-class").label.focus();
}

let busy = false;
// One request at a time, so that a key pressed twice does not label two moments.
async function change(path, request, after) {
  if (busy) return;
  busy = true;
  try {
    await api(path, request);
    after();
  } catch (error) {
    if (error.status === 404) after();
    else notice(error.code === "invalid" ? t("judge.invalid") : error.message || t("error.connection"), "bad");
  } finally {
    busy = false;
  }
}

function judge(body) {
  const moment = waiting[0];
  return change(`inbox/${moment.id}/label`, { method: "PUT", body }, () => { done.push(moment); next(); });
}

function next() {
  waiting.shift();
  left -= 1;
  if (waiting.length) showMoment();
  loadInbox().catch(() => notice(t("error.connection"), "bad"));
}

function skip() {
  const moment = waiting.shift();
  passed.add(moment.id);
  showMoment();
}

function remove() {
  return change(`inbox/${waiting[0].id}`, { method: "DELETE" }, next);
}

function undo() {
  const moment = done[done.length - 1];
  return change(`inbox/${moment.id}/label`, { method: "DELETE" }, () => {
    done.pop();
    waiting.unshift(moment);
    left += 1;
    showMoment();
  });
}

byId("new-class").addEventListener("submit", (submitted) => {
  submitted.preventDefault();
  const label = byId("new-class").label.value.trim();
  if (label) judge({ verdict: "other", label });
});
byId("skip").addEventListener("click", skip);
byId("delete").addEventListener("click", remove);
byId("back").addEventListener("click", undo);
document.addEventListener("keydown", (event) => {
  const field = event.target.closest("input, select, textarea");
  if (event.key === "Escape" && field) { byId("new-class").hidden = true; return; }
  if (field || event.ctrlKey || event.altKey || event.metaKey || event.repeat) return;
  if (event.key === "u" && done.length) return undo();
  const moment = waiting[0];
  if (!moment || byId("moment").hidden) return;
  const press = { s: skip, d: remove }[event.key] ?? choicesOf(moment).find(({ key }) => key === event.key)?.press;
  if (!press) return;
  // The key must not be typed into the field that opens.
  event.preventDefault();
  press();
});

let shown = "";
async function refresh() {
  if (document.hidden) return;
  info = await api("teach");
  // A list that is drawn again takes the focus from its buttons.
  if (JSON.stringify(info) === shown) return;
  shown = JSON.stringify(info);
  byId("off").hidden = info.inbox;
  byId("asked").hidden = !info.inbox;
  showWhich();
  showLesson();
  showModels();
}

const chosen = () => info.models.find((model) => model.model === byId("model").value) ?? info.models[0];

function showWhich() {
  byId("which").hidden = info.models.length < 2;
  if (byId("model").options.length === info.models.length) return;
  byId("model").replaceChildren(...info.models.map(({ model, running }) => new Option(running, model)));
}

function showLesson() {
  const { lesson } = info, running = lesson?.state === "running";
  byId("start").disabled = running;
  byId("stop").hidden = byId("progress").hidden = !running;
  if (running && lesson.total) byId("progress").value = lesson.done / lesson.total;
  else byId("progress").removeAttribute("value");
  const words = lesson && { n: lesson.total, done: lesson.done, name: lesson.taught, why: lesson.result?.problem ?? "", error: lesson.error };
  byId("lesson-said").textContent = lesson ? t(`lesson.${lesson.state}`, words) : "";
  byId("lesson-said").className = { failed: "bad", refused: "bad", done: "good" }[lesson?.state] ?? "";
  byId("result").hidden = !lesson?.result;
  if (lesson?.result) byId("result").replaceChildren(resultTable(lesson.result));
}

function resultTable(result) {
  const cell = (text, name = "td") => element(name, { text, scope: name === "th" ? "row" : undefined });
  const row = (name, clips, before, after) => element("tr", {}, cell(name, "th"), cell(clips), cell(before), cell(after));
  const head = ["teach.held-out", "teach.clips", "teach.before", "teach.after"].map((key) => element("th", { scope: "col", text: t(key) }));
  const rows = Object.entries(result.labels).map(([label, { clips, before, after }]) =>
    row(labelText(label), clips.toLocaleString(locale), percent(before / clips), percent(after / clips)));
  rows.push(row(t("teach.mean"), "", percent(result.before), percent(result.after)));
  if (result.ordinary.clips) rows.push(row(t("teach.random"), ...["clips", "before", "after"].map((name) => result.ordinary[name].toLocaleString(locale))));
  return element("table", { class: "numbers" }, element("thead", {}, element("tr", {}, ...head)), element("tbody", {}, ...rows));
}

function showModels() {
  const { lesson } = info;
  byId("no-swap").hidden = info.swap;
  byId("forward").hidden = !info.swap || lesson?.state !== "done" || lesson.model !== chosen()?.model || info.models.some((model) => model.running === lesson.taught || model.shadow?.name === lesson.taught);
  byId("models").replaceChildren(...info.models.map(modelFacts));
}

function modelFacts(model) {
  const rows = [["teach.running", model.running], ["teach.cameras", model.cameras.join(", ")]];
  if (model.changed) rows.push(["teach.changed", dateTime(model.changed)]);
  const { shadow } = model;
  if (shadow) {
    const number = (value) => value.toLocaleString(locale, { maximumFractionDigits: 2 });
    rows.push(["teach.shadow", shadow.name], ["teach.watched", t("teach.of-hours", { done: number(shadow.watched_h), hours: number(shadow.hours) })],
      ["teach.differ", t("teach.differ-of", { n: shadow.different, all: shadow.answers })], ["teach.events", t("teach.events-of", { now: shadow.alarms, shadow: shadow.shadow_alarms })]);
  }
  const facts = element("dl", { class: "facts" }, ...rows.flatMap(([key, value]) => [element("dt", { text: t(key) }), element("dd", { text: value })]));
  const box = element("div", { class: "model" }, facts);
  if (model.can_return) {
    const back = element("button", { type: "button", text: t(shadow ? "teach.drop" : "teach.roll-back") });
    back.addEventListener("click", () => send("teach/rollback", { model: model.model }));
    box.append(element("p", { class: "row" }, back));
  }
  return box;
}

async function send(path, body, method = "POST") {
  try {
    await api(path, { method, body });
    byId("swap-said").textContent = "";
    await refresh();
  } catch (error) {
    notice(error.message || t("error.connection"), "bad");
  }
}

byId("start").addEventListener("click", () => send("teach", { model: chosen().model }));
byId("stop").addEventListener("click", () => send("teach", undefined, "DELETE"));
byId("model").addEventListener("change", showModels);
byId("forward").addEventListener("submit", (submitted) => {
  submitted.preventDefault();
  send("teach/shadow", { model: chosen().model, hours: Number(byId("hours").value) });
});
byId("now").addEventListener("click", () => send("teach/shadow", { model: chosen().model, hours: 0 }));

const failed = () => notice(t("error.connection"), "bad");
addEventListener("visibilitychange", () => refresh().catch(failed));
setInterval(() => refresh().catch(failed), EVERY_MS);
refresh().then(() => (info.inbox ? loadInbox() : api("inbox").then(({ labeled }) => showLabeled(labeled))))
  .catch(failed).finally(() => byId("teach").removeAttribute("aria-busy"));
