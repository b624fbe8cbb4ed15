// Changes that are collected, saved together, and undone.
import { api, notice, t } from "./app.js";

const byId = (name) => document.getElementById(name);

export class Changes {
  // reload: shows the settings as they are now.
  constructor(reload) {
    this.reload = reload;
    this.version = "";
    this.values = new Map();
    byId("save").addEventListener("click", () => this.save());
    byId("undo").addEventListener("click", () => this.send("settings/undo", { method: "POST" }));
    addEventListener("beforeunload", (event) => { if (this.values.size) event.preventDefault(); });
  }

  // Take the settings that were loaded.
  begin(settings) {
    this.version = settings.version;
    this.values.clear();
    byId("undo").hidden = !settings.can_undo;
    byId("fixed").hidden = settings.file !== null;
    this.show();
  }

  set(path, value) {
    this.values.set(JSON.stringify(path), { path, value });
    this.show();
  }

  keep(path) {
    this.values.delete(JSON.stringify(path));
    this.show();
  }

  show() {
    const count = this.values.size;
    byId("save").disabled = count === 0;
    document.querySelector(".savebar").classList.toggle("active", count > 0);
    byId("said").textContent = count ? t("settings.unsaved", { n: count }) : "";
    byId("said").className = "grow";
  }

  save() {
    const body = { version: this.version, changes: [...this.values.values()] };
    return this.send("settings", { method: "PUT", body });
  }

  async send(path, request) {
    byId("save").disabled = true;
    try {
      const { restart } = await api(path, request);
      this.values.clear();
      await this.reload();
      byId("said").textContent = restart.length ? t("settings.restart", { names: restart.join(", ") }) : t("settings.saved");
    } catch (error) {
      byId("save").disabled = this.values.size === 0;
      byId("said").className = "grow bad";
      byId("said").textContent = error.code === "changed-meanwhile" ? t("settings.conflict") : error.message || t("error.connection");
      if (!error.code) notice(t("error.connection"), "bad");
    }
  }
}
