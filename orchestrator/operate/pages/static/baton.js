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

  function localTimes() {
    const clock = document.getElementById("clock");
    let local = localStorage.getItem("time") === "local";
    const show = (root) => root.querySelectorAll("time").forEach((each) => {
      each.title = local ? new Date(each.dateTime).toLocaleString() : each.dateTime;
    });
    const apply = () => { clock.textContent = local ? "UTC" : "Local time"; show(document); };
    clock.hidden = false;
    clock.addEventListener("click", () => { local = !local; localStorage.setItem("time", local ? "local" : "utc"); apply(); });
    document.addEventListener("htmx:after:swap", () => show(document));
    apply();
  }

  document.addEventListener("DOMContentLoaded", () => {
    if (told) watch();
    localTimes();
  });
})();
