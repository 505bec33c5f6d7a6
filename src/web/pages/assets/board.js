// Keeps a page up to date, and lets the keyboard walk it. The page is whole without this.
"use strict";
(() => {
  const root = document.documentElement;
  const store = {
    get: (key) => { try { return localStorage.getItem(key); } catch { return null; } },
    set: (key, value) => { try { localStorage.setItem(key, value); } catch { /* private window */ } },
  };

  // Light, dark, or as the system says.
  const themes = ["auto", "light", "dark"];
  const wear = (theme) => {
    if (theme === "auto") delete root.dataset.theme; else root.dataset.theme = theme;
    for (const button of document.querySelectorAll("[data-theme-toggle]")) {
      button.hidden = false;
      button.textContent = `Theme: ${theme}`;
    }
  };
  let theme = themes.includes(store.get("theme")) ? store.get("theme") : "auto";
  wear(theme);
  document.addEventListener("click", (event) => {
    if (!event.target.closest("[data-theme-toggle]")) return;
    theme = themes[(themes.indexOf(theme) + 1) % themes.length];
    store.set("theme", theme);
    wear(theme);
  });

  // A link that brings a token behind its # logs in; no server sees that part of an address, and no history keeps it.
  const token = document.getElementById("token");
  if (token && location.hash.length > 1) {
    token.value = location.hash.slice(1);
    history.replaceState(null, "", location.pathname + location.search);
    token.form.requestSubmit();
  }

  // Live parts are replaced when they changed; the one that holds the focus waits.
  let held = false;
  const refresh = async () => {
    if (document.hidden) { held = true; return; }
    held = false;
    const answer = await fetch(location.href, { headers: { accept: "text/html" } });
    if (!answer.ok) return;
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const part of document.querySelectorAll("[data-live][id]")) {
      const next = fresh.getElementById(part.id);
      // What was opened stays open.
      for (const open of part.querySelectorAll("details[open][id]")) {
        next?.querySelector(`#${CSS.escape(open.id)}`)?.setAttribute("open", "");
      }
      if (!next || next.outerHTML === part.outerHTML) continue;
      if (part.contains(document.activeElement)) announce(part, next); else part.replaceWith(next);
    }
    sift();
  };
  const announce = (part, next) => {
    let button = document.getElementById("fresh");
    if (!button) {
      button = document.createElement("button");
      button.id = "fresh";
      button.type = "button";
      button.textContent = "Something changed: show";
      document.getElementById("main").prepend(button);
    }
    button.onclick = () => { part.replaceWith(next); button.remove(); };
  };
  let waiting = 0;
  const soon = () => { clearTimeout(waiting); waiting = setTimeout(() => refresh().catch(() => {}), 150); };
  document.addEventListener("visibilitychange", () => { if (!document.hidden && held) soon(); });
  if (window.EventSource) {
    let opened = false;
    const listen = () => {
      const source = new EventSource("/events");
      source.addEventListener("changed", soon);
      source.addEventListener("open", () => { if (opened) soon(); opened = true; });
      // A page that is kept for the way back would keep its connection too, and a browser has few for one host.
      addEventListener("pagehide", () => source.close(), { once: true });
    };
    listen();
    addEventListener("pageshow", (event) => { if (event.persisted) { listen(); soon(); } });
  }
  setInterval(soon, 15000);

  // Keyboard: j and k walk rows, Enter opens, / filters.
  const rows = () => [...document.querySelectorAll("[data-row]")].filter((row) => !row.hidden);
  const focusable = (row) => row.querySelector("[data-open]") || row.querySelector("a");
  const walk = (by) => {
    const all = rows();
    const at = all.findIndex((row) => row.contains(document.activeElement));
    const next = all[Math.min(Math.max(at + by, 0), all.length - 1)];
    if (next) focusable(next)?.focus();
  };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.closest("input, textarea, select")) return;
    if (event.key === "j") walk(1);
    else if (event.key === "k") walk(-1);
    else if (event.key === "/") {
      const field = document.querySelector("[data-filter]");
      if (field) { event.preventDefault(); field.focus(); }
    } else if (event.key === "?") {
      const keys = document.getElementById("keys");
      keys.open = !keys.open;
      if (keys.open) keys.scrollIntoView();
    }
  });

  // Filtering shows at once what its form would.
  const sift = () => {
    const field = document.querySelector("[data-filter]");
    if (!field) return;
    const part = field.value.toLowerCase();
    for (const row of document.querySelectorAll("tr[data-row]")) {
      row.hidden = !row.querySelector("th").textContent.toLowerCase().includes(part);
    }
  };
  document.addEventListener("input", (event) => { if (event.target.matches("[data-filter]")) sift(); });

  // A link to what is on the screen is copied; without a clipboard it is a link.
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[data-copy]");
    if (!link || !navigator.clipboard || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    const words = link.textContent;
    navigator.clipboard.writeText(link.href).then(() => {
      link.textContent = "copied";
      setTimeout(() => { link.textContent = words; }, 1500);
    }, () => { location.href = link.href; });
  });
})();
