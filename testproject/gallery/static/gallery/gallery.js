// Keeps the page as it is on the server, without a reload by hand.
"use strict";

const PAUSE = 400;
const wall = document.getElementById("wall");
let shown = "";

// The page is rendered without knowing where in the world it is read.
function localiseTimes() {
  for (const time of wall.querySelectorAll("time")) {
    time.textContent = new Date(time.dateTime).toLocaleTimeString();
  }
}

// An element that is still the same stays in its place, so that no image is loaded twice.
function update(id, fresh) {
  const list = document.getElementById(id);
  const known = new Map([...list.children].map((item) => [item.id, item]));
  const items = [...fresh.getElementById(id).children];
  list.replaceChildren(...items.map((item) => known.get(item.id) ?? item));
}

async function refresh() {
  const response = await fetch(wall.dataset.source);
  const html = await response.text();
  if (!response.ok || html === shown) return;
  shown = html;
  const fresh = new DOMParser().parseFromString(html, "text/html");
  update("photos", fresh);
  update("activities", fresh);
  update("events", fresh);
  localiseTimes();
}

async function keepFresh() {
  try {
    if (!document.hidden) await refresh();
  } catch {
    // The server is away for a moment: what is shown stays, and the next attempt is soon.
  }
  setTimeout(keepFresh, PAUSE);
}

localiseTimes();
keepFresh();
