// Fetches the part of the page that changes and changes only what is different, so that nothing flashes and a
// selection, the focus and what was folded open stay as they are. Without this script the page reloads by itself.
"use strict";

const PERIOD = 2000;
const PATIENCE = 5000;

const fleet = document.getElementById("fleet");
const pulse = document.getElementById("pulse");
let timer = 0;
let running = false;

// Makes `old` equal to `next`. Children with an id are matched by it, the others by their place.
function morph(old, next) {
  if (old.isEqualNode(next)) return;
  if (old.nodeName !== next.nodeName) return old.replaceWith(next);
  if (old.nodeType === Node.TEXT_NODE) {
    old.data = next.data;
    return;
  }
  for (const { name } of [...old.attributes]) {
    if (!next.hasAttribute(name) && !(old.nodeName === "DETAILS" && name === "open")) old.removeAttribute(name);
  }
  for (const { name, value } of next.attributes) {
    if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  const known = new Map([...old.children].filter((child) => child.id).map((child) => [child.id, child]));
  let place = old.firstChild;
  for (const child of [...next.childNodes]) {
    const alike = place && !place.id && place.nodeName === child.nodeName ? place : null;
    const same = child.id ? known.get(child.id) : alike;
    if (!same) {
      old.insertBefore(child, place);
      continue;
    }
    if (same === place) place = place.nextSibling;
    else old.insertBefore(same, place);
    morph(same, child);
  }
  while (place) {
    const gone = place;
    place = place.nextSibling;
    gone.remove();
  }
}

function say(state, text) {
  if (pulse.dataset.state === state) return;
  pulse.dataset.state = state;
  pulse.textContent = text;
  pulse.hidden = false;
}

async function refresh() {
  if (running) return;
  running = true;
  try {
    const answer = await fetch(pulse.dataset.live, { signal: AbortSignal.timeout(PATIENCE) });
    if (!answer.ok) throw new Error(answer.statusText);
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    morph(fleet, page.getElementById("fleet"));
    say("live", "Live");
  } catch {
    const time = new Date().toLocaleTimeString([], { hour12: false });
    say("lost", `Out of reach since ${time}: what you see is the last that was known`);
  } finally {
    running = false;
    schedule();
  }
}

// Nobody looks at a hidden page.
function schedule() {
  clearTimeout(timer);
  if (!document.hidden) timer = setTimeout(refresh, PERIOD);
}

document.addEventListener("visibilitychange", () => (document.hidden ? clearTimeout(timer) : refresh()));
say("live", "Live");
schedule();
