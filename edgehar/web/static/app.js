// What every page needs: texts, requests, the language, logging out.

const meta = (name) => document.querySelector(`meta[name=${name}]`).content;
export const root = meta("root");
export const language = document.documentElement.lang;
// Of numbers and dates. Browsers lack those of Kazakh; in Kazakhstan they are written as in Russian.
export const locale = language === "kk" ? "ru" : language;

const texts = JSON.parse(document.getElementById("texts").textContent);
const plural = new Intl.PluralRules(language);

// A text of the catalogue; {name} is replaced by values.name, and values.n chooses the plural form.
export function t(key, values = {}) {
  let found = texts[key];
  if (found === undefined) return key;
  if (typeof found !== "string") found = found[plural.select(values.n)] ?? found.other;
  return found.replace(/\{(\w+)\}/g, (whole, name) => {
    const value = values[name];
    if (value === undefined) return whole;
    return typeof value === "number" ? value.toLocaleString(locale) : value;
  });
}

export function percent(share) {
  // A narrow space before the sign, for places that are narrow too.
  return share.toLocaleString(locale, { style: "percent", maximumFractionDigits: 0 }).replace("\u00a0", "\u202f");
}

export class Refused extends Error {
  constructor(status, problem, retryAfter) {
    super(problem.error ?? String(status));
    this.status = status;
    this.code = problem.code ?? "";
    this.retryAfter = retryAfter;
  }
}

// Call the API; returns the JSON of the answer. Throws Refused. A session that has ended leads to the log-in.
export async function api(path, { method = "GET", body, signal } = {}) {
  const headers = {};
  if (method !== "GET") headers["X-CSRF-Token"] = meta("csrf");
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const answer = await fetch(`${root}api/v1/${path}`, {
    method, headers, signal, body: body === undefined ? undefined : JSON.stringify(body),
  });
  if (answer.ok) return answer.json();
  const problem = await answer.json().catch(() => ({}));
  if (answer.status === 401) toLogIn();
  throw new Refused(answer.status, problem, Number(answer.headers.get("Retry-After")));
}

export function toLogIn() {
  const depth = root === "./" ? 1 : root.length / 3 + 1;
  const here = location.pathname.split("/").slice(-depth).join("/") + location.search;
  location.assign(`${root}login?next=${encodeURIComponent(here)}`);
}

// Where to go after logging in: a path below the root, never another site.
export function afterLogIn() {
  const next = new URLSearchParams(location.search).get("next") ?? "";
  return root + (/^[\w][\w/.%?&=+-]*$/.test(next) && !next.includes("..") ? next : "");
}

let noticeTimer;
// Show a sentence for a while, also to a screen reader.
export function notice(text, kind = "") {
  const box = document.getElementById("notice");
  box.textContent = text;
  box.className = `notice shown ${kind}`;
  clearTimeout(noticeTimer);
  noticeTimer = setTimeout(() => box.classList.remove("shown"), 6000);
}

export function element(name, { text, ...attributes } = {}, ...children) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  for (const [key, value] of Object.entries(attributes)) {
    if (value === true) made.setAttribute(key, "");
    else if (value !== false && value !== undefined && value !== null) made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

document.getElementById("language").addEventListener("change", (event) => {
  const path = new URL(root, location.href).pathname;
  document.cookie = `edgehar-language=${event.target.value}; path=${path}; max-age=31536000; samesite=lax`;
  location.reload();
});

document.getElementById("log-out")?.addEventListener("click", async () => {
  await api("session", { method: "DELETE" }).catch(() => {});
  location.assign(`${root}login`);
});
