// All settings: where each value comes from, and changes to those that pages may change.
import { api, element, notice, t } from "./app.js";
import { marked } from "./format.js";
import { Changes } from "./savebar.js";

const byId = (name) => document.getElementById(name);
const changes = new Changes(load);
let settings;

async function load() {
  settings = await api("settings");
  changes.begin(settings);
  byId("file").textContent = settings.file ?? "";
  const open = new Set([...document.querySelectorAll("#tables details[open]")].map((node) => node.dataset.title));
  byId("tables").replaceChildren(...settings.tables.filter((table) => table.settings.length).map((table) => tableNode(table, open)));
  byId("tables").removeAttribute("aria-busy");
  filter();
}

function tableNode(table, open) {
  const title = table.title || t("settings.top");
  const set = table.settings.filter((setting) => setting.origin !== "default").length;
  const summary = element("summary", {}, element("h2", { text: title }), element("span", { class: "soft grow" }, ...marked(table.description)), element("span", { class: "origin set", text: set ? t("settings.set", { n: set }) : "" }));
  const node = element("details", { class: "card table", "data-title": title }, summary, ...table.settings.map(row));
  node.open = open.has(title);
  return node;
}

function row(setting) {
  const name = setting.path[setting.path.length - 1];
  const id = `s-${setting.path.join("-")}`;
  const control = setting.editable ? editor(setting, id) : element("code", { class: "value", text: written(setting.value) });
  const origin = setting.origin === "default" ? t("settings.default") : setting.origin === settings.file ? t("settings.in-file") : setting.origin;
  return element("div", { class: "setting", "data-words": `${setting.path.join(".")} ${setting.description}`.toLowerCase(), "data-set": setting.origin !== "default" },
    element("div", {}, element(setting.editable ? "label" : "span", { for: setting.editable ? id : null, class: "key-name", text: name }),
      element("p", { class: "soft" }, ...marked(setting.description))),
    element("div", { class: "edit" }, control, element("span", { class: `origin ${setting.origin === "default" ? "" : "set"}`, text: origin })));
}

function written(value) {
  if (value === null) return "–";
  return typeof value === "string" ? value : JSON.stringify(value);
}

// A control for the value; its `change` puts it among the changes.
function editor(setting, id) {
  const { kind, value, path } = setting;
  const put = (next) => (same(next, value) ? changes.keep(path) : changes.set(path, next));
  if (kind === "boolean" || kind === "choice") {
    const select = element("select", { id });
    const options = kind === "boolean" ? ["true", "false"] : setting.choices;
    if (setting.default === null) select.append(new Option(t("settings.unset"), ""));
    for (const option of options) select.append(new Option(kind === "boolean" ? t(`settings.${option}`) : option, option));
    select.value = value === null ? "" : String(value);
    select.addEventListener("change", () => put(select.value === "" ? null : kind === "boolean" ? select.value === "true" : select.value));
    return select;
  }
  if (kind === "integer" || kind === "number") {
    const input = element("input", { id, type: "number", min: setting.least, max: setting.most, step: kind === "integer" ? 1 : "any", placeholder: setting.default ?? t("settings.unset") });
    input.value = value ?? "";
    input.addEventListener("change", () => put(input.value === "" ? null : Number(input.value)));
    return input;
  }
  const area = element("textarea", { id, rows: kind === "texts" ? Math.max(1, (value ?? []).length) : 2, spellcheck: "false" });
  area.value = kind === "texts" ? (value ?? []).join("\n") : value === null ? "" : JSON.stringify(value);
  area.addEventListener("change", () => {
    const text = area.value.trim();
    if (kind === "texts") return put(text ? text.split("\n").map((line) => line.trim()).filter(Boolean) : null);
    try {
      put(text ? JSON.parse(text) : null);
      area.removeAttribute("aria-invalid");
    } catch {
      area.setAttribute("aria-invalid", "true");
      notice(t("settings.not-json"), "bad");
    }
  });
  return area;
}

function same(a, b) {
  return JSON.stringify(a) === JSON.stringify(b);
}

function filter() {
  const words = byId("find").value.trim().toLowerCase();
  const only = byId("changed-only").checked;
  for (const table of document.querySelectorAll("#tables details")) {
    let any = false;
    for (const node of table.querySelectorAll(".setting")) {
      node.hidden = (words !== "" && !node.dataset.words.includes(words)) || (only && node.dataset.set === undefined);
      any ||= !node.hidden;
    }
    table.hidden = !any;
    if (words || only) table.open = any;
  }
}

byId("find").addEventListener("input", filter);
byId("changed-only").addEventListener("change", filter);
load().catch((error) => notice(error.message || t("error.connection"), "bad"));
