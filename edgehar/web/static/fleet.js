// All devices of a fleet, every few seconds while the page is looked at.
import { api, element, locale, t } from "./app.js";

const EVERY_MS = 5000;
const byId = (name) => document.getElementById(name);
const filters = byId("filters");
let devices = [];

async function refresh() {
  if (document.hidden) return;
  try {
    const fleet = await api("fleet");
    devices = fleet.devices;
    byId("no-broker").hidden = fleet.connected;
    byId("lost").hidden = true;
    show();
  } catch {
    byId("lost").hidden = false;
  }
}

function show() {
  const name = filters.elements.name.value.trim().toLowerCase();
  const state = filters.elements.state.value;
  const shown = devices.filter((device) => device.name.toLowerCase().includes(name)
    && (state === "" || (state === "offline" ? !device.online : device.problems.length > 0)));
  byId("devices").replaceChildren(...shown.map(row));
  byId("devices").parentElement.removeAttribute("aria-busy");
  byId("summary").textContent = devices.length === 0 ? t("fleet.none") : t("fleet.summary", {
    n: devices.length,
    online: devices.filter((device) => device.online).length,
    problems: devices.filter((device) => device.problems.length > 0).length,
  });
}

function row(device) {
  const kind = !device.online ? "bad" : device.problems.length ? "warn" : "good";
  const word = { bad: "fleet.offline", warn: "fleet.attention", good: "fleet.well" }[kind];
  const state = cell("fleet.state", "", element("span", { class: `chip ${kind}`, text: t(word) }));
  if (device.online && device.problems.length) state.append(element("span", { class: "why", text: device.problems.join("; ") }));
  return element("tr", {},
    element("th", { scope: "row", text: device.name }), state,
    cell("fleet.model", device.models), cell("status.version", device.edgehar),
    figure("fleet.alarms", device.alarms_per_day, 1), figure("status.rate", device.fps, 1),
    figure("status.temperature", device.temperature_c, 0, " °C"));
}

function cell(label, text, ...children) {
  const made = element("td", { "data-label": t(label) }, ...children);
  if (children.length === 0) made.textContent = text || "–";
  return made;
}

function figure(label, value, digits, unit = "") {
  const text = value === null ? "" : value.toLocaleString(locale, { maximumFractionDigits: digits }) + unit;
  const made = cell(label, text);
  made.className = "figure";
  return made;
}

filters.addEventListener("input", show);
filters.addEventListener("submit", (event) => event.preventDefault());
addEventListener("visibilitychange", refresh);
setInterval(refresh, EVERY_MS);
refresh();
