"use strict";
(() => {
  const one = (query, from = document) => from.querySelector(query);
  const all = (query, from = document) => [...from.querySelectorAll(query)];
  const make = (tag, text = "", kind = "") => {
    const element = document.createElement(tag);
    if (text) element.textContent = text;
    if (kind) element.className = kind;
    return element;
  };

  // Light and dark: what the system says, until the reader chooses.
  const root = document.documentElement;
  const remembered = (() => { try { return localStorage.getItem("robeval-theme"); } catch { return null; } })();
  const darkness = matchMedia("(prefers-color-scheme: dark)");
  const theme = () => root.dataset.theme || (darkness.matches ? "dark" : "light");
  const sayTheme = () => all("[data-theme-name]").forEach((name) => { name.textContent = theme() === "dark" ? "Dark" : "Light"; });
  if (remembered === "light" || remembered === "dark") root.dataset.theme = remembered;
  darkness.addEventListener("change", sayTheme);
  sayTheme();
  all("[data-theme-toggle]").forEach((button) => button.addEventListener("click", () => {
    root.dataset.theme = theme() === "dark" ? "light" : "dark";
    try { localStorage.setItem("robeval-theme", root.dataset.theme); } catch { /* a file may have no storage */ }
    sayTheme();
  }));

  // The section that is being read.
  const links = new Map(all(".sections a").map((link) => [link.hash.slice(1), link]));
  const watcher = new IntersectionObserver((entries) => entries.forEach((entry) => {
    if (!entry.isIntersecting) return;
    links.forEach((link, id) => link.classList.toggle("here", id === entry.target.id));
  }), { rootMargin: "-25% 0px -65%" });
  links.forEach((_, id) => { const section = document.getElementById(id); if (section) watcher.observe(section); });

  all("[data-copy]").forEach((button) => button.addEventListener("click", async () => {
    const code = one("code", button.parentElement);
    try {
      await navigator.clipboard.writeText(code.textContent);
      button.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(code);
      button.textContent = "Selected";
    }
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  }));

  matrix();
  examples();

  function matrix() {
    const tables = all("[data-table]");
    if (!tables.length) return;
    const details = JSON.parse(one("#details").textContent);
    const tip = one("#tip");
    const controls = one("[data-controls]");
    const metric = one("[data-metric]"), filter = one("[data-filter]"), flagged = one("[data-flagged]");
    const hiddenDefenses = new Set();
    let pinned = null;

    const current = () => tables.find((table) => !table.hidden);
    const rows = (table) => all("tbody tr", table);
    const shown = (element) => !element.hidden && element.offsetParent !== null;

    offerDefenses();
    metric.addEventListener("change", () => {
      tables.forEach((table) => { table.hidden = table.dataset.table !== metric.value; });
      release();
      offerDefenses();
      apply();
    });
    filter.addEventListener("input", apply);
    flagged.addEventListener("change", apply);
    tables.forEach((table) => {
      all("[data-sort]", table).forEach((button) => button.addEventListener("click", () => sort(table, button)));
      all(".spot button", table).forEach((button) => {
        button.addEventListener("mouseenter", () => { if (!pinned) show(button); });
        button.addEventListener("mouseleave", () => { if (!pinned) hide(); });
        button.addEventListener("focus", () => { if (pinned && pinned !== button) release(); if (!pinned) show(button); });
        button.addEventListener("blur", () => { if (!pinned) hide(); });
        button.addEventListener("click", () => { if (pinned === button) release(); else pin(button); });
        button.addEventListener("keydown", (event) => move(event, table, button));
      });
    });
    document.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || tip.hidden) return;
      const from = pinned;
      release();
      if (from) { from.focus(); hide(); }
    });
    document.addEventListener("click", (event) => {
      if (pinned && !tip.contains(event.target) && !pinned.contains(event.target)) release();
      const pick = one(".pick");
      if (pick && pick.open && !pick.contains(event.target)) pick.open = false;
    });
    addEventListener("scroll", () => { if (pinned) place(pinned); else hide(); }, { passive: true });
    addEventListener("beforeprint", release);
    apply();

    function offerDefenses() {
      const box = one("[data-defenses]");
      box.replaceChildren();
      all("thead th[data-defense]", current()).forEach((head) => {
        const name = head.dataset.defense, label = make("label", "", "check"), input = make("input");
        input.type = "checkbox";
        input.checked = !hiddenDefenses.has(name);
        input.addEventListener("change", () => {
          if (input.checked) hiddenDefenses.delete(name); else hiddenDefenses.add(name);
          apply();
        });
        label.append(input, " ", name);
        box.append(label);
      });
    }

    function apply() {
      const table = current(), words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
      all("[data-defense]", table).forEach((cell) => { cell.hidden = hiddenDefenses.has(cell.dataset.defense); });
      let left = 0;
      rows(table).forEach((row) => {
        const name = row.dataset.name.toLowerCase();
        const marked = all("td[data-marked='1']", row).some((cell) => !cell.hidden);
        row.hidden = !words.every((word) => name.includes(word)) || (flagged.checked && !marked);
        if (!row.hidden) left += 1;
      });
      const total = rows(table).length;
      one("[data-count]", controls).textContent = left === total ? `${total} rows` : `${left} of ${total} rows`;
      const cells = all(".spot button", table);
      cells.forEach((button) => { button.tabIndex = -1; });
      const first = cells.find(shown);
      if (first) first.tabIndex = 0;
    }

    function sort(table, button) {
      const head = button.closest("th"), before = head.getAttribute("aria-sort");
      const next = { none: "ascending", ascending: "descending", descending: "none" }[before];
      all("th[data-sortable]", table).forEach((other) => other.setAttribute("aria-sort", "none"));
      head.setAttribute("aria-sort", next);
      const sign = next === "descending" ? -1 : 1;
      const value = (row) => {
        const cell = all("td.spot", row)[Number(button.dataset.sort)];
        return cell && cell.dataset.value !== undefined ? Number(cell.dataset.value) : null;
      };
      const order = (a, b) => Number(a.dataset.order) - Number(b.dataset.order);
      const compare = (a, b) => {
        if (next === "none") return order(a, b);
        if (button.dataset.sort === "name") return sign * a.dataset.name.localeCompare(b.dataset.name) || order(a, b);
        const [x, y] = [value(a), value(b)];
        if (x === null || y === null) return (x === null) - (y === null) || order(a, b); // no figure: last
        return sign * (x - y) || order(a, b);
      };
      one("tbody", table).append(...rows(table).sort(compare));
      release();
      apply();
    }

    function move(event, table, button) {
      const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
      const edge = { Home: 0, End: -1 }[event.key];
      if (!step && edge === undefined) return;
      event.preventDefault();
      const grid = rows(table).filter(shown).map((row) => all(".spot:not([hidden]) button", row));
      const y = grid.findIndex((line) => line.includes(button)), x = grid[y].indexOf(button);
      const target = step ? (grid[y + step[0]] || [])[x + step[1]] : grid[y].at(edge);
      if (!target) return;
      button.tabIndex = -1;
      target.tabIndex = 0;
      target.focus();
      target.scrollIntoView({ block: "nearest", inline: "nearest" });
    }

    function show(button) {
      const cell = button.closest("td"), about = details[cell.dataset.key];
      tip.replaceChildren();
      if (!about) { tip.hidden = true; return; }
      tip.append(make("h4", `${about.attack} × ${about.defense}`));
      if (cell.dataset.value !== undefined) {
        const figure = make("p", "", "");
        figure.append(make("span", one(".value", button).textContent, "big"), " ", one(".interval", button).textContent.replace(/ n \d+$/, ""));
        tip.append(figure);
        const facts = [`n ${cell.dataset.n}`];
        if (about.seeds > 1) facts.push(`${about.seeds} seeds`);
        if (about.passes) facts.push(`${about.passes} passes per example`);
        if (about.invalid) facts.push(`${about.invalid} invalid examples`);
        tip.append(make("p", [...facts, ...about.notes].join(" · "), "hint"));
      } else {
        tip.append(make("p", about.status === "done" ? "no figure" : about.status, "hint"));
      }
      if (about.error) tip.append(make("p", about.error, about.status === "n/a" ? "hint" : "error"));
      if (about.evidence.length) {
        const list = make("ul", "", "evidence");
        about.evidence.forEach((text) => list.append(make("li", text)));
        tip.append(list);
      } else if (about.status === "done" && about.verdict === "ok") {
        tip.append(make("p", "✓ passed the checks", "hint"));
      }
      if (about.threat) tip.append(make("p", about.threat, "hint"));
      tip.hidden = false;
      place(button);
    }

    function place(button) {
      const box = button.getBoundingClientRect(), width = tip.offsetWidth, height = tip.offsetHeight;
      const below = box.bottom + 8 + height < innerHeight;
      tip.style.left = `${Math.max(12, Math.min(box.left, innerWidth - width - 12))}px`;
      tip.style.top = `${below ? box.bottom + 8 : Math.max(8, box.top - height - 8)}px`;
    }

    function pin(button) {
      show(button);
      if (tip.hidden) return;
      pinned = button;
      tip.classList.add("pinned");
      const actions = make("div", "", "actions");
      const card = all(".example").find((example) => example.dataset.key === button.closest("td").dataset.key);
      if (card) {
        const look = make("button", "Show examples");
        look.type = "button";
        look.addEventListener("click", () => { release(); one("[data-open]", card).click(); });
        actions.append(look);
      }
      const close = make("button", "Close");
      close.type = "button";
      close.addEventListener("click", () => { const from = pinned; release(); from?.focus(); hide(); });
      actions.append(close);
      tip.append(actions);
      place(button);
    }

    function release() { pinned = null; tip.classList.remove("pinned"); hide(); }
    function hide() { tip.hidden = true; }
  }

  function examples() {
    const cards = all(".example");
    if (!cards.length) return;
    const viewer = one("#viewer"), picture = one("img", viewer);
    const choices = all("[data-gallery]"), ranks = all("input[name='rank']"), count = one("[data-gallery-count]");
    let open = null;

    choices.forEach((choice) => choice.addEventListener("change", apply));
    ranks.forEach((rank) => rank.addEventListener("change", apply));
    all("[data-open]").forEach((button) => button.addEventListener("click", () => enlarge(button)));
    one("[data-viewer-close]").addEventListener("click", () => viewer.close());
    viewer.addEventListener("click", (event) => { if (event.target === viewer) viewer.close(); });
    all("[data-viewer-step]").forEach((button) => button.addEventListener("click", () => step(Number(button.dataset.viewerStep))));
    viewer.addEventListener("keydown", (event) => {
      const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (by) { event.preventDefault(); step(by); }
    });
    viewer.addEventListener("close", () => { open?.focus(); });
    apply();

    function apply() {
      const rank = ranks.find((input) => input.checked).value;
      let left = 0;
      cards.forEach((card) => {
        card.hidden = choices.some((choice) => choice.value && card.dataset[choice.dataset.gallery] !== choice.value);
        if (!card.hidden) left += 1;
        let found = false;
        all("figure", card).forEach((figure) => {
          figure.hidden = figure.dataset.rank !== rank;
          found ||= !figure.hidden;
        });
        one(".none-drawn", card).hidden = found;
      });
      count.textContent = left === cards.length ? `${left} cells` : `${left} of ${cards.length} cells`;
    }

    function enlarge(button) {
      open = button;
      const figure = button.closest("figure"), small = one("img", button);
      picture.src = small.src;
      picture.alt = small.alt;
      one("[data-viewer-title]").textContent = one("h3", button.closest(".example")).textContent;
      one("[data-viewer-note]").textContent = one("figcaption", figure).textContent.trim();
      if (!viewer.open) viewer.showModal();
    }

    // Through the pictures of a cell first, then on to the next cell that is shown.
    function step(by) {
      const buttons = cards.filter((card) => !card.hidden).flatMap((card) => all("[data-open]", card));
      const own = all("[data-open]", open.closest(".example"));
      if (!buttons.includes(open)) buttons.splice(0, buttons.length, ...own); // a cell that the filters hide
      const at = buttons.indexOf(open);
      if (buttons.length) enlarge(buttons[(at + by + buttons.length) % buttons.length]);
    }
  }
})();
