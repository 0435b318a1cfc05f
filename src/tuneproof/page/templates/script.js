"use strict";
(() => {
  const all = (what, inside = document) => [...inside.querySelectorAll(what)];
  const make = (tag, attributes = {}, text = "") => {
    const node = document.createElement(tag);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    node.textContent = text;
    return node;
  };

  // Sections fold: the heading becomes a button.
  for (const title of all("main > section > h2")) {
    const body = title.nextElementSibling;
    const button = make("button", { type: "button", class: "folder", "aria-expanded": "true" }, title.textContent);
    body.id = title.parentElement.id + "-body";
    button.setAttribute("aria-controls", body.id);
    title.replaceChildren(button);
    button.addEventListener("click", () => open(button, button.getAttribute("aria-expanded") !== "true"));
  }
  function open(button, yes) {
    button.setAttribute("aria-expanded", String(yes));
    button.closest("section").classList.toggle("folded", !yes);
  }
  addEventListener("hashchange", reveal);
  reveal();
  function reveal() {
    const target = location.hash.length > 1 && document.getElementById(location.hash.slice(1));
    if (!target) return;
    const button = target.closest("section")?.querySelector("h2 button.folder");
    const fold = target.closest("details");
    if (button) open(button, true);
    if (fold) fold.open = true;
    if (button || fold) target.scrollIntoView();
  }

  // Tables sort by the column whose heading is pressed.
  const value = (row, i) => {
    const cell = row.cells[i];
    if (!("v" in cell.dataset)) return cell.textContent.trim();
    const number = parseFloat(cell.dataset.v);
    return Number.isNaN(number) ? null : number;
  };
  const compare = (a, b) =>
    typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), undefined, { numeric: true });
  for (const table of all("table[data-sort]")) {
    for (const head of all("thead th", table)) {
      if (head.querySelector(".unseen")) continue;
      const button = make("button", { type: "button", class: "sorter" });
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const down = head.getAttribute("aria-sort") === "ascending";
        for (const other of all("th[aria-sort]", table)) other.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        const rows = [...table.tBodies[0].rows];
        rows.sort((a, b) => {
          const [x, y] = [value(a, head.cellIndex), value(b, head.cellIndex)];
          if (x === null || y === null) return (x === null) - (y === null);
          return down ? compare(y, x) : compare(x, y);
        });
        table.tBodies[0].append(...rows);
        refresh(table);
      });
    }
  }

  // Long tables show their first rows; a filter box looks through all of them.
  const state = new Map();
  for (const table of all("table[data-filter], table[data-fold]")) {
    const rows = table.tBodies[0].rows.length;
    const own = { words: "", most: Number(table.dataset.fold) || 0, status: null, button: null };
    state.set(table, own);
    if (own.most && rows <= own.most + 2) own.most = 0;
    if (table.dataset.filter && rows > 5) {
      const bar = make("div", { class: "filter" });
      const label = make("label", {}, "Find a " + table.dataset.filter + " ");
      const box = make("input", { type: "search", autocomplete: "off", spellcheck: "false" });
      own.status = make("span", { role: "status", class: "soft" });
      label.append(box);
      bar.append(label, own.status);
      table.before(bar);
      box.addEventListener("input", () => { own.words = box.value.trim().toLowerCase(); refresh(table); });
    }
    if (own.most) {
      own.button = make("button", { type: "button", class: "all" }, "Show all " + rows);
      own.button.addEventListener("click", () => { own.most = 0; own.button.remove(); refresh(table); });
      table.after(own.button);
    }
    refresh(table);
  }
  function refresh(table) {
    const own = state.get(table);
    if (!own) return;
    let found = 0;
    for (const row of table.tBodies[0].rows) {
      const fits = !own.words || row.textContent.toLowerCase().includes(own.words);
      found += fits ? 1 : 0;
      row.classList.toggle("filtered", !fits);
      row.classList.toggle("beyond", fits && !own.words && own.most > 0 && found > own.most);
    }
    if (own.status) own.status.textContent = own.words ? found + " found" : "";
    if (own.button) own.button.hidden = own.words !== "";
  }

  // Values and meanings appear under the pointer, on focus, and on a tap.
  const tip = make("div", { class: "tip", "aria-hidden": "true" });
  document.body.append(tip);
  for (const term of all("abbr[title]")) {
    term.dataset.tip = term.title;
    term.setAttribute("aria-description", term.title);
    term.removeAttribute("title");
  }
  const show = (event) => {
    const target = event.target instanceof Element && event.target.closest("[data-tip]");
    if (!target) return hide();
    tip.textContent = target.dataset.tip;
    tip.style.display = "block";
    const box = target.getBoundingClientRect();
    const x = event.clientX === undefined ? box.left + box.width / 2 : event.clientX;
    const y = target.tagName === "ABBR" ? box.top : Math.min(event.clientY ?? box.top, box.bottom);
    const left = Math.max(8, Math.min(x - tip.offsetWidth / 2, document.documentElement.clientWidth - tip.offsetWidth - 8));
    tip.style.left = left + "px";
    tip.style.top = (y - tip.offsetHeight - 12 > 0 ? y - tip.offsetHeight - 12 : box.bottom + 10) + "px";
  };
  const hide = () => { tip.style.display = "none"; };
  document.addEventListener("pointermove", show);
  document.addEventListener("pointerdown", show);
  document.addEventListener("focusin", show);
  document.addEventListener("focusout", hide);
  addEventListener("scroll", hide, { passive: true });
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") hide(); });

  // Code can be copied.
  for (const code of all("pre[data-copy]")) {
    const button = make("button", { type: "button", class: "copy" }, "Copy");
    code.before(button);
    button.addEventListener("click", async () => {
      const range = document.createRange();
      range.selectNodeContents(code);
      getSelection().removeAllRanges();
      getSelection().addRange(range);
      try { await navigator.clipboard.writeText(code.textContent); button.textContent = "Copied"; }
      catch { button.textContent = document.execCommand("copy") ? "Copied" : "Selected"; }
      setTimeout(() => { button.textContent = "Copy"; }, 1600);
    });
  }

  // The section that is being read is marked in the contents; paper shows what is folded.
  const links = new Map(all(".contents a").map((link) => [link.hash.slice(1), link]));
  const seen = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      for (const link of links.values()) link.removeAttribute("aria-current");
      links.get(entry.target.id)?.setAttribute("aria-current", "true");
    }
  }, { rootMargin: "-10% 0px -80% 0px" });
  for (const id of links.keys()) seen.observe(document.getElementById(id));
  addEventListener("beforeprint", () => all("details.fold").forEach((one) => { one.open = true; }));
  document.documentElement.dataset.ready = "yes";
})();
