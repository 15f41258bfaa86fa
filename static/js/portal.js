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
    if (form.hasAttribute("data-upload")) upload(event, form);
  });
  function ready() {
    for (const form of all("form[aria-busy]")) form.removeAttribute("aria-busy");
  }
  window.addEventListener("pageshow", ready);
  window.addEventListener("popstate", ({ state }) => { if (state?.sent) location.reload(); });

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

  // An upload shows how far it really is; what the server answers is shown as if the browser had sent the form
  function upload(event, form) {
    const box = form.querySelector(".progress");
    if (!box) return;
    event.preventDefault();
    const bar = box.querySelector("progress");
    const text = box.querySelector("p");
    const megabytes = (bytes) => `${(bytes / 1048576).toFixed(1)} MB`;
    const announce = (sentence) => {
      text.setAttribute("aria-live", "polite");
      text.textContent = sentence;
    };
    const refuse = (sentence) => {
      ready();
      bar.value = 0;
      announce(sentence);
    };
    const began = Date.now();
    const request = new XMLHttpRequest();
    const file = form.querySelector("[type=file]")?.files[0];
    box.hidden = false;
    if (file?.size > Number(form.dataset.max || Infinity)) {
      return refuse(`This file has ${megabytes(file.size)}; at most ${megabytes(form.dataset.max)} are accepted. Nothing was sent.`);
    }
    announce("Connecting");
    request.upload.onprogress = ({ loaded, total }) => {
      text.setAttribute("aria-live", "off");
      bar.max = total;
      bar.value = loaded;
      const speed = loaded / Math.max(1, Date.now() - began);
      const rest = Math.ceil((total - loaded) / speed / 1000);
      text.textContent = `${megabytes(loaded)} of ${megabytes(total)}${rest > 1 ? `, about ${rest} s left` : ""}`;
    };
    request.upload.onload = () => {
      bar.removeAttribute("value");
      announce("Sent. The portal checks it now.");
    };
    request.onload = () => {
      history.replaceState({ sent: true }, "");
      if (request.responseURL !== location.href) history.pushState({ sent: true }, "", request.responseURL);
      document.open();
      document.write(request.responseText);
      document.close();
    };
    request.onerror = () => refuse("The connection broke before everything had arrived. Nothing was kept. Send it again.");
    request.open("POST", form.action);
    request.send(new FormData(form, event.submitter));
  }
})();
