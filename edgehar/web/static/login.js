// Log in, then go on where the visitor wanted to.
import { afterLogIn, api, t } from "./app.js";

const form = document.getElementById("log-in");
const problem = document.getElementById("problem");

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const button = form.querySelector("button");
  button.disabled = true;
  problem.textContent = "";
  try {
    await api("session", { method: "POST", body: { password: form.password.value } });
    location.assign(afterLogIn());
  } catch (error) {
    if (error.status === 429) problem.textContent = t("login.wait", { n: error.retryAfter });
    else problem.textContent = t(error.code === "wrong-password" ? "login.wrong" : "error.connection");
    form.password.select();
    form.password.focus();
  } finally {
    button.disabled = false;
  }
});
