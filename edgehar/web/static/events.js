// The list of events: filters in the address, pictures, more at a button.
import { api, element, notice, percent, root, t } from "./app.js";
import { duration, labelText, shortDateTime } from "./format.js";

const form = document.getElementById("filters");
const list = document.getElementById("events");
const more = document.getElementById("more");
const found = document.getElementById("found");
const zone = Intl.DateTimeFormat().resolvedOptions().timeZone ?? "UTC";
let next = null;
let request = null;
// Recordings are finished some seconds after the event.
const FINISHED_MS = 60_000;
const pictured = new Set();

async function start() {
  const [choices, { cameras }] = await Promise.all([api("events/choices"), api("cameras")]);
  if (choices.recorded) for (const camera of cameras) if (camera.pictures !== "none") pictured.add(camera.camera);
  for (const [key, name] of Object.entries(choices.cameras)) form.camera.append(new Option(name, key));
  for (const label of choices.labels) form.label.append(new Option(label, label));
  document.getElementById("hint").hidden = choices.recorded;
  for (const [name, value] of new URLSearchParams(location.search)) if (form[name]) form[name].value = value;
  await load();
}

function query() {
  const chosen = new URLSearchParams();
  for (const [name, value] of new FormData(form)) if (value) chosen.set(name, value);
  return chosen;
}

async function load(before = null) {
  request?.abort();
  request = new AbortController();
  const asked = query();
  history.replaceState(null, "", asked.size ? `?${asked}` : location.pathname);
  if (asked.has("day")) asked.set("zone", zone);
  if (before) asked.set("before", before);
  list.setAttribute("aria-busy", "true");
  try {
    const page = await api(`events?${asked}`, { signal: request.signal });
    if (!before) list.replaceChildren();
    list.append(...page.events.map(tile));
    next = page.next;
    more.hidden = next === null;
    found.textContent = list.children.length ? t(next ? "events.newest" : "events.found", { n: list.children.length }) : t("events.none");
  } catch (error) {
    if (error.name !== "AbortError") notice(t("error.connection"), "bad");
  } finally {
    list.removeAttribute("aria-busy");
  }
}

function tile(event) {
  const title = labelText(event.label) || t("events.sealed");
  const picture = element("div", { class: "stage small" });
  if (event.picture) {
    const source = `${root}api/v1/events/${event.id}/file.jpg`;
    picture.append(element("img", { src: source, alt: t("events.picture-of", { label: title, camera: event.camera_name }), loading: "lazy" }));
  } else picture.append(element("p", { class: "blank", text: t(event.sealed ? "events.sealed" : isComing(event) ? "events.coming" : "events.no-picture") }));
  if (event.going_on) picture.append(element("p", { class: "alarm", text: t("events.now") }));
  if (event.verdict) picture.append(element("p", { class: `verdict ${event.verdict.verdict}`, text: verdictText(event.verdict) }));
  const facts = [event.camera_name];
  if (event.duration_s !== null) facts.push(duration(event.duration_s));
  const link = element("a", { href: `${root}events/${event.id}`, class: "cover", text: title });
  const score = event.peak_score === null ? "" : percent(event.peak_score);
  return element("li", { class: "card tile" }, picture, element("div", { class: "about" },
    element("h2", { class: "line" }, link, element("span", { class: "score", text: score })),
    element("p", { class: "soft", text: facts.join(" · ") }),
    element("p", { class: "soft" }, element("time", { datetime: event.time, text: shortDateTime(event.time) }))));
}

function isComing(event) {
  const ended = Date.parse(event.time) + 1000 * (event.duration_s ?? 0);
  return pictured.has(event.camera) && (event.going_on || Date.now() - ended < FINISHED_MS);
}

function verdictText(verdict) {
  return verdict.verdict === "other" ? labelText(verdict.label) : t(`judge.${verdict.verdict}`);
}

form.addEventListener("input", () => load());
form.addEventListener("submit", (event) => event.preventDefault());
form.addEventListener("reset", () => setTimeout(() => load()));
more.addEventListener("click", () => load(next));
start().catch(() => notice(t("error.connection"), "bad"));
