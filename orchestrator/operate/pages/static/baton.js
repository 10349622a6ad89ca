// What pages gain when JavaScript runs: they stay fresh, and say how fresh they are.
// A page without it is whole. One stream a tab; a browser allows six connections to a host, so at
// most four windows hold one, and the others ask every ten seconds.
"use strict";
(() => {
  const STREAMS = 4, ASK_MS = 10000;
  const told = document.getElementById("liveness"), pause = document.getElementById("pause");
  const source = document.getElementById("live-source");
  const time = () => new Date().toLocaleTimeString();
  const say = (text, stale) => {
    if (told.textContent !== text) told.textContent = text;
    told.classList.toggle("stale", Boolean(stale));
  };

  function watch() {
    let since = time(), paused = false, asking = 0, release = () => {};
    const connect = () => {
      source.setAttribute("hx-sse:connect", told.dataset.live);
      source.setAttribute("hx-swap", "none");
      htmx.process(source);
    };
    const ask = () => { if (!paused && !document.hidden) htmx.ajax("GET", told.dataset.live + "&once=1", { source, swap: "none" }).then(fresh, stale); };
    const fresh = () => { since = time(); if (!paused) say(asking ? "live · 10 s" : "live · 1 s"); };
    const stale = () => { if (!paused) say("stale since " + since + " — reconnecting", true); };
    source.addEventListener("htmx:sse:after:message", fresh);
    source.addEventListener("htmx:sse:after:connection", fresh);
    source.addEventListener("htmx:sse:error", stale);
    source.addEventListener("htmx:sse:before:connection", (event) => { if (event.detail.connection.attempt > 0 && !document.hidden) stale(); });
    source.addEventListener("ended", () => location.reload());
    source.addEventListener("stale", (event) => { event.stopPropagation(); stale(); });
    source.addEventListener("htmx:sse:before:message", (event) => { if (paused) event.detail.cancelled = true; });
    pause.hidden = false;
    pause.setAttribute("aria-pressed", "false");
    pause.addEventListener("click", () => {
      paused = !paused;
      pause.textContent = paused ? "Resume" : "Pause";
      pause.setAttribute("aria-pressed", String(paused));
      if (paused) say("paused at " + time()); else { say("live"); htmx.ajax("GET", told.dataset.live + "&once=1", { source, swap: "none" }).then(fresh, stale); }
    });
    const poll = () => { asking = setInterval(ask, ASK_MS); ask(); };
    if (!navigator.locks) return connect();
    (async () => {
      for (let n = 0; n < STREAMS; n += 1) {
        const taken = await new Promise((resolve) => {
          navigator.locks.request("baton-stream-" + n, { ifAvailable: true }, (lock) => {
            if (!lock) return resolve(false);
            resolve(true);
            return new Promise((free) => { release = free; });
          });
        });
        if (taken) return connect();
      }
      return poll();
    })();
    addEventListener("pagehide", () => release());
  }

  // Who listens to the page hears at most one sentence in ten seconds, and only one that is new.
  function announce() {
    const out = document.getElementById("announced"), wanted = () => document.querySelector("[data-announce]")?.dataset.announce ?? "";
    let said = wanted(), lastMs = -ASK_MS, waiting = 0;
    const speak = () => {
      waiting = 0;
      if (wanted() === said) return;
      said = out.textContent = wanted();
      lastMs = performance.now();
    };
    document.addEventListener("htmx:after:swap", () => {
      if (!waiting) waiting = setTimeout(speak, Math.max(0, lastMs + ASK_MS - performance.now()));
    });
  }

  function localTimes() {
    const clock = document.getElementById("clock");
    let local = localStorage.getItem("time") === "local";
    const show = (root) => root.querySelectorAll("time").forEach((each) => {
      each.title = local ? new Date(each.dateTime).toLocaleString() : each.dateTime;
    });
    const apply = () => { clock.textContent = local ? "Show UTC times" : "Show local times"; show(document); };
    clock.hidden = false;
    clock.addEventListener("click", () => { local = !local; localStorage.setItem("time", local ? "local" : "utc"); apply(); });
    document.addEventListener("htmx:after:swap", () => show(document));
    apply();
  }

  // Rows do not move under the pointer: who is new waits until asked for, who left stays and says so.
  function steadyRows() {
    const show = document.querySelector("[data-show]");
    if (!show) return;
    const news = new Map();
    let all = false;
    const hold = (task) => {
      const now = task.target && task.target.querySelector("[data-steady]");
      const next = task.fragment.querySelector("[data-steady]");
      if (all || !now || !next || now.dataset.steady !== next.dataset.steady) return news.delete(task.target);
      const rows = new Map([...next.children].map((row) => [row.id, row]));
      next.replaceChildren(...[...now.children].map((row) => {
        const same = rows.get(row.id) || row.cloneNode(true);
        if (!rows.delete(row.id)) {
          same.classList.add("gone");
          same.querySelectorAll(".left").forEach((each) => { each.hidden = false; });
        }
        return same;
      }));
      news.set(task.target, rows.size);
    };
    document.addEventListener("htmx:before:swap", (event) => {
      event.detail.tasks.forEach(hold);
      const count = [...news.values()].reduce((sum, each) => sum + each, 0);
      show.hidden = !count;
      if (count) show.textContent = count + " new · show";
    });
    show.addEventListener("click", (event) => {
      event.preventDefault();
      all = true;
      htmx.ajax("GET", told.dataset.live + "&once=1", { source, swap: "none" }).finally(() => { all = false; });
    });
  }

  // j k x r on a page with rows, unless somebody types, or has turned them off (WCAG 2.1.4).
  function keys() {
    const rows = () => [...document.querySelectorAll("[data-rows] > tr")];
    const note = document.querySelector("[data-keys]"), turn = document.querySelector("[data-keys-switch]");
    if (!note) return;
    let on = localStorage.getItem("keys") !== "off", at = "";
    const apply = () => { note.hidden = !on; turn.textContent = on ? "Turn keys off" : "Turn keys on"; };
    const mark = () => rows().forEach((row) => row.classList.toggle("at", row.id === at));
    const go = (by) => {
      const all = rows(), was = all.findIndex((row) => row.id === at);
      const row = all[Math.max(0, Math.min(all.length - 1, was + by))];
      if (!row) return;
      at = row.id;
      mark();
      row.querySelector("a").focus();
    };
    const choose = (only) => {
      const row = document.getElementById(at), box = row && row.querySelector("input[type=checkbox]");
      if (box && !(only && box.checked)) box.click();
    };
    const retry = () => {
      const button = document.querySelector("[data-retry]");
      if (!document.querySelector("[data-rows] input:checked")) choose(true);
      if (button && document.querySelector("[data-rows] input:checked")) button.click();
    };
    const does = { j: () => go(1), k: () => go(-1), x: () => choose(false), r: retry };
    document.addEventListener("keydown", (event) => {
      const typing = event.target.closest("input:not([type=checkbox]), textarea, select");
      if (!on || typing || event.ctrlKey || event.metaKey || event.altKey || !does[event.key]) return;
      event.preventDefault();
      does[event.key]();
    });
    document.addEventListener("htmx:after:swap", mark);  // a patch knows nothing of it
    turn.addEventListener("click", () => { on = !on; localStorage.setItem("keys", on ? "on" : "off"); apply(); });
    apply();
  }

  function copying() {
    document.querySelectorAll("[data-copy]").forEach((button) => {
      button.hidden = !navigator.clipboard;
      button.addEventListener("click", async () => {
        await navigator.clipboard.writeText(location.href);
        button.textContent = "Copied";
      });
    });
  }

  // A menu over the page closes by Escape, and when one goes on elsewhere.
  function menus() {
    const open = () => document.querySelectorAll("body > header details[open]");
    document.addEventListener("click", (event) => open().forEach((each) => { if (!each.contains(event.target)) each.open = false; }));
    document.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      open().forEach((each) => { each.open = false; each.querySelector("summary").focus(); });
    });
  }

  document.addEventListener("DOMContentLoaded", () => {
    menus();
    document.querySelectorAll(".js").forEach((each) => { each.hidden = false; });
    steadyRows();
    keys();
    copying();
    announce();
    if (told) watch();
    localTimes();
  });
})();
