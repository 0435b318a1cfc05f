"use strict";
const token = new URLSearchParams(location.search).get("token") || sessionStorage.getItem("token") || "";
sessionStorage.setItem("token", token);
history.replaceState(null, "", location.pathname);
const at = (id) => document.getElementById(id);
const headers = { authorization: `Bearer ${token}`, "content-type": "application/json" };
let models = [], talk = [], busy = false;

function element(name, text, kind) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (kind) made.className = kind;
  return made;
}
const current = () => models[at("model").selectedIndex];
const writes = () => current().writes;

function show() {
  const model = current();
  talk = [];
  for (const id of ["said", "answer", "fields"]) at(id).replaceChildren();
  at("fault").hidden = true;
  at("clear").hidden = true;
  at("about").textContent = `${model.version}, a model for ${model.task}` +
    (model.labels.length ? ` with ${model.labels.length} labels.` : ".") + ` It reads ${model.max_tokens.toLocaleString("en")} tokens.`;
  for (const name of model.asks) {
    const label = element("label", name === "input" ? "Text" : name === "message" ? "Your message" : name);
    const area = element("textarea");
    area.name = name;
    area.required = true;
    label.append(area);
    at("fields").append(label);
  }
  at("curl").textContent = curl();
}

function body() {
  const given = Object.fromEntries([...at("fields").querySelectorAll("textarea")].map((area) => [area.name, area.value]));
  const model = current();
  if (model.writes) return { model: model.id, messages: [...talk, { role: "user", content: given.message }], stream: true };
  if ("input" in given) return { model: model.id, input: given.input };
  return { model: model.id, input: given };
}
const path = () => (writes() ? "/v1/chat/completions" : current().route);

function curl() {
  const asked = body();
  if (asked.stream) delete asked.stream;
  return `curl ${location.origin}${path()} \\\n  -H "Authorization: Bearer $TOKEN" -H "Content-Type: application/json" \\\n  -d '${JSON.stringify(asked).replaceAll("'", "'\\''")}'`;
}

async function refused(response) {
  const told = await response.json().catch(() => null);
  return told && told.error ? told.error.message : `The server answered ${response.status}.`;
}

async function ask(event) {
  event.preventDefault();
  if (busy) return;
  busy = true;
  document.querySelector("[type=submit]").disabled = true;
  at("fault").hidden = true;
  try {
    const asked = body();
    const response = await fetch(path(), { method: "POST", headers, body: JSON.stringify(asked) });
    if (!response.ok) throw new Error(await refused(response));
    if (writes()) await written(asked, response);
    else drawn((await response.json()).data[0], asked);
  } catch (fault) {
    at("fault").textContent = fault.message;
    at("fault").hidden = false;
  } finally {
    busy = false;
    document.querySelector("[type=submit]").disabled = false;
  }
}

function turn(role, text) {
  const item = element("li", undefined, role);
  item.append(element("b", role === "user" ? "You" : "The model"), element("span", text));
  at("said").append(item);
  return item.querySelector("span");
}

async function written(asked, response) {
  const mine = asked.messages[asked.messages.length - 1];
  turn("user", mine.content);
  const place = turn("assistant", "");
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) break;
    const events = (rest + value).split("\n\n");
    rest = events.pop();
    for (const line of events) {
      const data = line.replace(/^data: /, "");
      if (data === "[DONE]") continue;
      const told = JSON.parse(data);
      if (told.error) throw new Error(told.error.message);
      for (const choice of told.choices) place.textContent += choice.delta.content || "";
    }
  }
  talk.push(mine, { role: "assistant", content: place.textContent });
  at("fields").querySelector("textarea").value = "";
  at("clear").hidden = false;
}

function drawn(found, asked) {
  const place = at("answer");
  place.replaceChildren();
  if (found.probs) {
    place.append(element("p", found.label, "result"));
    const rule = current().decides;
    if (rule && found.label !== found.probs[0].label) place.append(element("p", `Not the likeliest: ${rule} (fitted on validation rows).`, "soft"));
    const bars = element("div", undefined, "bars");
    for (const one of found.probs.slice(0, 8)) {
      const bar = element("div", undefined, "bar"), fill = element("i");
      fill.style.width = `${100 * one.prob}%`;
      bar.append(fill);
      bars.append(element("span", one.label), bar, element("span", `${(100 * one.prob).toFixed(1)}%`, "share"));
    }
    place.append(bars);
    return;
  }
  if (found.entities && typeof asked.input === "string") {
    const text = element("p", undefined, "result");
    let from = 0;
    for (const one of found.entities) {
      text.append(asked.input.slice(from, one.start));
      const mark = element("mark", asked.input.slice(one.start, one.end));
      mark.title = one.label;
      text.append(mark, element("small", ` ${one.label} `, "soft"));
      from = one.end;
    }
    text.append(asked.input.slice(from));
    place.append(text);
    return;
  }
  place.append(element("pre", JSON.stringify(found, null, 1)));
}

at("ask").addEventListener("submit", ask);
at("ask").addEventListener("input", () => { at("curl").textContent = curl(); });
at("ask").addEventListener("keydown", (event) => { if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) at("ask").requestSubmit(); });
at("clear").addEventListener("click", show);
at("model").addEventListener("change", show);
fetch("/v1/models", { headers }).then(async (response) => {
  if (!response.ok) throw new Error(await refused(response));
  models = (await response.json()).data;
  for (const model of models) at("model").append(element("option", model.id));
  show();
}).catch((fault) => { at("fault").textContent = fault.message; at("fault").hidden = false; });
