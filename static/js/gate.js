/* Asks for the code in a dialog on the page itself, where the server would lead to the code page. Without this
   script, or when anything in it goes wrong, the server does: it keeps the form and asks there. */
(() => {
  "use strict";
  const address = document.body.dataset.gate;
  if (!address || !window.HTMLDialogElement) return;
  const guarded = (element) => element.closest("[data-guarded]") ||
    (document.body.hasAttribute("data-production") && element.matches("main form[method=post]"));
  const let_through = new WeakSet();

  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (form.method !== "post" || !guarded(form) || let_through.delete(form)) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    const { submitter } = event;
    unlock(submitter?.textContent).then((open) => {
      if (!open) return;
      let_through.add(form);
      form.requestSubmit(submitter);
    });
  }, true);

  document.addEventListener("click", (event) => {
    const link = event.target.closest("[data-guarded] a[href]");
    if (!link || link.origin !== location.origin || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
    event.preventDefault();
    unlock(link.textContent, link.pathname).then((open) => { if (open) location.assign(link.href); });
  });

  // True when the window is open or the server shall decide; false when the person closed the dialog
  async function unlock(words, path = location.pathname) {
    const url = `${address}?next=${encodeURIComponent(path)}`;
    try {
      const answer = await fetch(url, { redirect: "error" });
      return answer.status === 200 ? await ask(await answer.text(), words) : true;
    } catch {
      return true;
    }
  }

  function ask(content, words) {
    const dialog = document.createElement("dialog");
    const show = (html) => {
      dialog.innerHTML = html;
      const heading = dialog.querySelector("h2");
      if (heading && words?.trim()) heading.textContent = `${words.trim().replace(/\s+/g, " ")} needs your code`;
      dialog.querySelector("[data-code]")?.focus();
    };
    document.body.append(dialog);
    show(content);
    dialog.showModal();
    dialog.querySelector("[data-code]")?.focus();
    return new Promise((resolve) => {
      const leave = (open) => {
        dialog.remove();
        resolve(open);
      };
      dialog.addEventListener("cancel", () => leave(false));
      dialog.addEventListener("click", ({ target }) => { if (target.closest("[data-close]")) leave(false); });
      dialog.addEventListener("submit", async (event) => {
        event.preventDefault();
        event.stopImmediatePropagation();
        const form = event.target;
        try {
          const answer = await fetch(form.action, { method: "POST", body: new FormData(form), redirect: "error" });
          if (!answer.ok) return show(await answer.text());
          renew((await answer.json()).csrf);
          refresh().catch(() => {});
          leave(true);
        } catch {
          leave(true);
        }
      }, true);
    });
  }

  // The token changed with the code; the forms of this page go on with the new one
  function renew(token) {
    for (const field of document.querySelectorAll("[name=csrfmiddlewaretoken]")) field.value = token;
  }

  // Where the page stays, its bar and its padlocks say what they say on a page that is loaded now
  async function refresh() {
    const answer = await fetch(location.href, { redirect: "error" });
    const loaded = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const selector of ["header.top", ".padlock"]) {
      const [shown, fresh] = [document, loaded].map((page) => [...page.querySelectorAll(selector)]);
      if (shown.length === fresh.length) shown.forEach((element, place) => element.replaceWith(fresh[place]));
    }
  }
})();
