// One camera: masks and region over its picture, thresholds with what they would have done, hours.
import { api, element, notice, percent, t } from "./app.js";
import { Areas } from "./areas.js";
import { Feed, showImage } from "./feed.js";
import { Changes } from "./savebar.js";

const byId = (name) => document.getElementById(name);
const key = decodeURIComponent(location.pathname.split("/").pop());
const changes = new Changes(load);
const areas = new Areas(byId("areas"), showAreas);
let camera, number, given;

async function load() {
  const { cameras } = await api("cameras");
  number = cameras.findIndex((one) => one.camera === key);
  if (number < 0) return gone();
  camera = cameras[number];
  byId("title").textContent = camera.name;
  document.title = `${camera.name} · edgehar`;
  const settings = await api("settings");
  changes.begin(settings);
  given = Object.fromEntries(settings.tables.flatMap((table) => table.settings)
    .filter(({ path }) => path[0] === "camera" && path[1] === number).map((setting) => [setting.path[2], setting]));
  for (const button of ["add-mask", "set-region", "clear-region"]) byId(button).disabled = !given.masks.editable;
  // The picture shows the region in force, which may differ from the file's until a restart.
  areas.load(given.masks.value, given.region.value, camera.region);
  showAreas();
  showHours();
  thresholds.clear();
  showThresholds();
  count();
  byId("camera").removeAttribute("aria-busy");
}

function gone() {
  byId("title").textContent = t("camera.gone");
  byId("camera").hidden = true;
}

function put(name, value) {
  const before = JSON.stringify(given[name].value);
  if (JSON.stringify(value) === before) changes.keep(given[name].path);
  else changes.set(given[name].path, value);
}

function showAreas() {
  put("masks", areas.masks);
  put("region", areas.region);
  byId("clear-region").hidden = areas.region === null;
  for (const [button, mode] of [["add-mask", "mask"], ["set-region", "region"]]) byId(button).setAttribute("aria-pressed", String(areas.mode === mode));
  byId("masks").replaceChildren(...areas.masks.map((mask, index) => {
    const remove = element("button", { type: "button", class: "quiet", text: t("camera.remove"), "aria-label": t("camera.remove-mask", { n: index + 1 }) });
    remove.disabled = !given.masks.editable;
    remove.addEventListener("click", () => areas.remove(index));
    return element("li", { class: "line" }, element("span", { text: t("camera.mask", { n: index + 1, corners: mask.length }) }), remove);
  }));
}

function showThresholds() {
  byId("thresholds").replaceChildren(...camera.actions.map((label, index) => {
    const id = `threshold-${index}`, now = camera.thresholds[label];
    const slider = element("input", { id, type: "range", min: 0, max: 1, step: 0.01, "aria-describedby": `${id}-fired` });
    slider.value = now;
    slider.disabled = !given.thresholds.editable;
    const value = element("output", { for: id, text: percent(now) });
    const fired = element("p", { id: `${id}-fired`, class: "soft" });
    const show = () => {
      value.textContent = percent(Number(slider.value));
      fired.textContent = firedText(label, Number(slider.value), now);
    };
    slider.addEventListener("input", show);
    slider.addEventListener("counted", show);
    slider.addEventListener("change", () => changeThreshold(label, Number(slider.value), now));
    show();
    return element("div", { class: "threshold" }, element("label", { for: id, text: label }), value, slider, fired);
  }));
}

// Counting takes seconds on a small device, so the page does not wait for it.
let counts = null;
async function count() {
  byId("counted").textContent = t("camera.counting");
  try {
    counts = await api(`cameras/${encodeURIComponent(key)}/counts`);
  } catch {
    byId("counted").textContent = "";
    return;
  }
  const said = { history: "camera.counted-history", recordings: "camera.counted", none: "camera.not-counted" }[counts.source];
  byId("counted").textContent = t(said, { n: Math.round((counts.week_s ?? 0) / 360) / 10 });
  for (const slider of byId("thresholds").querySelectorAll("input")) slider.dispatchEvent(new Event("counted"));
}

function firedText(label, threshold, now) {
  const found = counts?.labels[label];
  if (!found) return "";
  const step = Math.round(threshold * 100);
  const text = t("camera.fired", { n: found.week[step], day: found.day[step] });
  return counts.source === "recordings" && threshold < now ? `${text} ${t("camera.at-least")}` : text;
}

const thresholds = new Map();
function changeThreshold(label, value, now) {
  if (value === now) thresholds.delete(label);
  else thresholds.set(label, value);
  put("thresholds", { ...given.thresholds.value, ...Object.fromEntries(thresholds) });
}

function showHours() {
  byId("hours").replaceChildren(...["watch_hours", "record_hours", "notify_hours"].map((name) => {
    const area = element("textarea", { id: name, rows: 2, spellcheck: "false", placeholder: t("camera.always") });
    area.value = given[name].value.join("\n");
    area.disabled = !given[name].editable;
    area.addEventListener("change", () => {
      const lines = area.value.split("\n").map((line) => line.trim()).filter(Boolean);
      put(name, lines.length || given[name].value.length ? lines : given[name].value);
    });
    return element("div", {}, element("label", { for: name, text: t(`camera.${name.replace("_", "-")}`) }), area);
  }));
}

function mode(name) {
  areas.draws(areas.mode === name ? null : name);
  showAreas();
}

byId("add-mask").addEventListener("click", (event) => {
  // A keyboard or screen reader cannot drag; it gets a mask whose corners move by arrow keys.
  if (event.detail === 0) areas.add();
  else mode("mask");
});
byId("set-region").addEventListener("click", () => mode("region"));
byId("clear-region").addEventListener("click", () => { areas.region = null; areas.changed(); });

const picture = byId("picture");
picture.addEventListener("load", () => {
  byId("blank").hidden = true;
  byId("stage").style.aspectRatio = `${picture.naturalWidth} / ${picture.naturalHeight}`;
});
load().then(() => {
  if (number < 0) return;
  picture.alt = t("live.picture-of", { camera: camera.name });
  if (camera.pictures === "none") byId("blank").textContent = t("live.no-pictures");
  else new Feed(`camera=${encodeURIComponent(key)}`, ({ kind, type, body }) => {
    if (kind === "picture") showImage(picture, body, type);
    else if (kind === "state") areas.shows(JSON.parse(new TextDecoder().decode(body)).region);
  });
}).catch((error) => notice(error.message || t("error.connection"), "bad"));
