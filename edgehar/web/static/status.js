// How the run is, every few seconds while the page is looked at; and a check of the device.
import { api, element, locale, notice, percent, root, t } from "./app.js";
import { bytes, dateTime, duration } from "./format.js";

const EVERY_MS = 5000;
const byId = (name) => document.getElementById(name);

async function refresh() {
  if (document.hidden) return;
  try {
    show(await api("status"));
    byId("lost").hidden = true;
  } catch {
    byId("lost").hidden = false;
  }
}

function show(status) {
  byId("cameras").replaceChildren(...status.cameras.map(cameraCard));
  const first = status.cameras[0] ?? {};
  const known = (value, text) => (value === null || value === undefined ? null : text(value));
  facts("machine", [
    ["status.version", status.version],
    ["status.running-for", duration((Date.now() - Date.parse(status.started)) / 1000)],
    ["status.temperature", known(first.temperature_c, (value) => `${value.toLocaleString(locale)} °C`)],
    ["status.throttled", first.throttled ? t("status.slowed") : null, "bad"],
    ["status.power", first.under_voltage ? t("status.under-voltage") : null, "bad"],
    ["status.processor", known(first.cpu_share, percent)],
    ["status.memory", known(first.rss_mb, (value) => bytes(value * 1e6))],
  ]);
  showOutputs(status.outputs);
  const { storage } = status;
  facts("storage", storage === null ? [["status.recordings", t("status.not-recorded")]] : [
    ["status.recordings", t("status.count", { n: storage.recordings })],
    ["status.used", bytes(storage.bytes)],
    ["status.free", bytes(storage.free_bytes)],
    ["status.uploaded", storage.uploading ? t("status.of", { n: storage.recordings, done: storage.uploaded }) : null],
    ["status.folder", storage.folder],
  ]);
  showLog(status.log);
}

function showOutputs(outputs) {
  const rows = outputs.map(({ name, connected, waiting, dropped }) => {
    const words = [];
    if (connected !== null) words.push(t(connected ? "status.connected" : "status.not-connected"));
    if (waiting) words.push(t("status.waiting", { n: waiting }));
    if (dropped) words.push(t("status.dropped", { n: dropped }));
    return [name, words.join(", "), connected === false || dropped ? "bad" : "good"];
  });
  facts("outputs", rows.length ? rows : [["status.none", t("status.no-outputs")]]);
}

function facts(id, rows) {
  const shown = rows.filter(([, value]) => value !== null && value !== undefined);
  byId(id).replaceChildren(...shown.flatMap(([key, value, kind]) => [
    element("dt", { text: t(key) }), element("dd", { text: value, class: kind ?? "" })]));
}

function cameraCard(status) {
  const good = status.state === "running";
  const title = element("h3", { class: "line" },
    element("a", { href: `${root}cameras/${encodeURIComponent(status.camera)}`, text: status.source }),
    element("span", { class: `chip ${good ? "good" : "bad"}`, text: t(`state.${status.state}`) }));
  const rows = [
    ["status.rate", t("status.per-second", { value: status.fps.toLocaleString(locale, { maximumFractionDigits: 1 }) })],
    ["status.answers", status.predictions.toLocaleString(locale)],
    ["status.lost-frames", status.dropped.toLocaleString(locale)],
    ["status.age", status.frame_age_ms_p95 === null ? null : t("unit.milliseconds", { n: Math.round(status.frame_age_ms_p95 * 10) / 10 })],
    ["status.reconnects", status.reconnects ? status.reconnects.toLocaleString(locale) : null],
  ].filter(([, value]) => value !== null);
  return element("article", { class: "card" }, title, element("dl", { class: "facts" },
    ...rows.flatMap(([key, value]) => [element("dt", { text: t(key) }), element("dd", { text: value })])));
}

function showLog(lines) {
  const log = byId("log");
  const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 8;
  log.replaceChildren(...lines.map((line) => element("li", { class: line.level },
    element("time", { datetime: line.time, text: dateTime(line.time) }), ` ${line.text}`)));
  if (atEnd) log.scrollTop = log.scrollHeight;
}

byId("examine").addEventListener("click", async (event) => {
  event.target.disabled = true;
  byId("examined").textContent = t("status.examining");
  try {
    const { checks } = await api("doctor", { method: "POST" });
    const problems = checks.filter((check) => check.level !== "ok").length;
    byId("examined").textContent = problems ? t("status.problems", { n: problems }) : t("status.all-well");
    byId("findings").replaceChildren(...checks.map(finding));
  } catch (error) {
    byId("examined").textContent = "";
    notice(error.message || t("error.connection"), "bad");
  } finally {
    event.target.disabled = false;
  }
});

function finding({ check, level, says, fix }) {
  const item = element("li", {}, element("span", { class: `chip ${level === "ok" ? "good" : level === "warn" ? "warn" : "bad"}`, text: t(`level.${level}`) }),
    element("span", {}, element("strong", { text: check }), ` ${says}`));
  if (fix) item.lastChild.append(element("span", { class: "fix soft", text: fix }));
  return item;
}

addEventListener("visibilitychange", refresh);
setInterval(refresh, EVERY_MS);
refresh();
