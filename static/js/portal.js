/* Comforts on top of pages that work without any of this. */
(() => {
  "use strict";
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const on = (type, act) => document.addEventListener(type, act);

  // The browser's time zone, used until the person sets one
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  if (zone && !document.cookie.split("; ").includes(`tz=${zone}`)) {
    const secure = location.protocol === "https:" ? "; Secure" : "";
    document.cookie = `tz=${zone}; Path=/; Max-Age=31536000; SameSite=Lax${secure}`;
  }

  // Times stay true while the page is open; the words are those of portal/templatetags/portal.py
  const units = [["day", 86400], ["hour", 3600], ["minute", 60]];
  function relative(at) {
    const gap = (at - Date.now()) / 1000;
    for (const [unit, seconds] of units) {
      const count = Math.floor(Math.abs(gap) / seconds);
      if (count) {
        const words = `${count} ${unit}${count === 1 ? "" : "s"}`;
        return gap > 0 ? `in ${words}` : `${words} ago`;
      }
    }
    return gap > 0 ? "in a moment" : "just now";
  }
  function refreshMoments() {
    for (const time of all("time[data-moment]")) {
      const at = Date.parse(time.dateTime);
      if (Math.abs(at - Date.now()) <= 7 * 86400e3) time.firstElementChild.textContent = relative(at);
    }
  }
  setInterval(refreshMoments, 20000);

  // A wait counts down; at its end it says so once, to screen readers too
  function refreshWaits() {
    for (const wait of all("[data-until]")) {
      const seconds = Math.ceil((Date.parse(wait.dataset.until) - Date.now()) / 1000);
      if (seconds > 0) {
        const minutes = Math.floor(seconds / 60);
        wait.querySelector(".left").textContent = minutes ? `${minutes} min ${seconds % 60} s` : `${seconds} s`;
      } else {
        wait.removeAttribute("data-until");
        wait.setAttribute("role", "status");
        wait.querySelector("span").textContent = wait.dataset.over;
      }
    }
  }
  refreshWaits();
  setInterval(refreshWaits, 1000);

  // Six digits are a whole code: nobody needs to press the button
  on("input", ({ target }) => {
    if (!target.matches("[data-code]")) return;
    const digits = target.value.replace(/\s/g, "");
    if (target.value !== digits) target.value = digits;
    if (/^[0-9]{6}$/.test(digits)) target.form.requestSubmit();
  });

  // A second press sends nothing; coming back to the page makes it ready again
  on("submit", (event) => {
    const form = event.target;
    if (event.defaultPrevented || form.hasAttribute("data-repeat")) return;
    if (form.hasAttribute("aria-busy")) return event.preventDefault();
    form.setAttribute("aria-busy", "true");
    if (!form.hasAttribute("data-upload")) return;
    event.preventDefault();
    upload(form);
  });
  function ready() {
    for (const form of all("form[aria-busy]")) form.removeAttribute("aria-busy");
  }
  window.addEventListener("pageshow", ready);

  // Copying
  for (const button of all("[data-copy]")) button.hidden = !navigator.clipboard;
  on("click", async ({ target }) => {
    const button = target.closest("[data-copy]");
    if (!button) return;
    await navigator.clipboard.writeText(document.querySelector(button.dataset.copy).textContent.replace(/\s/g, ""));
    const label = button.querySelector("span") || button;
    const before = label.textContent;
    label.textContent = "Copied";
    setTimeout(() => { label.textContent = before; }, 2000);
  });

  // An upload shows how far it really is; what is wrong is said at the field, and nothing is lost
  const mega = (bytes) => (bytes / 1048576).toFixed(1);
  async function upload(form) {
    const [box, bar, text, stop, problem] = [".progress", "progress", ".progress p", "[data-stop]", "[role=alert]"]
      .map((part) => form.querySelector(part));
    const xhr = new XMLHttpRequest();
    const { file, dataset } = form;
    const say = (sentence, live = "polite") => {
      text.ariaLive = live;
      text.textContent = sentence;
    };
    const refuse = (sentence) => {
      window.onbeforeunload = null;
      ready();
      box.hidden = stop.hidden = true;
      problem.textContent = sentence;
      file.ariaInvalid = "true";
      file.focus();
    };
    if (file.files[0]?.size > dataset.max) return refuse(dataset.large);
    problem.textContent = "";
    box.hidden = false;
    bar.value = 0;
    say("Connecting");
    stop.onclick = () => xhr.abort();
    window.onbeforeunload = () => true;
    // Still signed in? A code entered in another tab has changed the token
    const page = await fetch(form.action).catch(() => Response.error());
    const token = /token" value="(\w+)/.exec(await page.text());
    if (page.redirected || !token) return refuse(dataset.away);
    form.csrfmiddlewaretoken.value = token[1];
    xhr.upload.onprogress = ({ loaded, total }) => {
      bar.max = total;
      bar.value = loaded;
      say(`${mega(loaded)} of ${mega(total)} MB`, "off");
    };
    xhr.upload.onload = () => {
      stop.hidden = true;
      bar.removeAttribute("value");
      say("Sent. The portal checks it now.");
    };
    xhr.onload = () => {
      const page = xhr.responseText;
      const answer = page[0] === "{" ? JSON.parse(page) : { error: /<h1>([^<]+)/.exec(page)?.[1] };
      if (!answer.address) return refuse(answer.error || dataset.broken);
      window.onbeforeunload = null;
      location.assign(answer.address);
    };
    xhr.onabort = () => refuse(dataset.cancelled);
    xhr.onerror = () => refuse(dataset.broken);
    xhr.open("POST", form.action);
    xhr.setRequestHeader("Accept", "application/json");
    xhr.send(new FormData(form));
    stop.hidden = false;
  }
  for (const type of ["dragover", "dragleave", "drop"]) on(type, (event) => {
    const form = document.querySelector("[data-upload]:not([aria-busy])");
    if (!form) return;
    event.preventDefault();
    form.classList.toggle("dragged", type === "dragover");
    if (type === "drop") form.file.files = event.dataTransfer.files;
  });
})();
