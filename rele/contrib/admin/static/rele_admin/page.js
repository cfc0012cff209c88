"use strict";

// The page updates itself: it fetches its own address, and replaces what may have changed.
// Without this script everything is there, too, as it was when the page was loaded.
document.addEventListener("DOMContentLoaded", () => {
    const page = document.getElementById("rele-page");
    if (page === null) {
        return;
    }
    const wait = Number(page.dataset.every) * 1000;

    // Nothing is replaced under the hands of whoever copies a text.
    function isSelecting() {
        const selection = document.getSelection();
        return selection !== null && !selection.isCollapsed && page.contains(selection.anchorNode);
    }

    function replace(text) {
        const open = [...page.querySelectorAll("details[open]")].map(details => details.id);
        const focused = page.contains(document.activeElement) ? document.activeElement.id : "";
        const parsed = new DOMParser().parseFromString(text, "text/html");
        for (const id of open) {
            parsed.getElementById(id)?.setAttribute("open", "");
        }
        page.replaceChildren(...parsed.body.childNodes);
        if (focused) {
            document.getElementById(focused)?.focus({preventScroll: true});
        }
    }

    function sayItIsLate(reason) {
        const lateness = document.getElementById("rele-lateness");
        if (lateness !== null && lateness.textContent !== reason) {
            lateness.textContent = reason;
        }
    }

    async function update() {
        if (document.hidden || isSelecting()) {
            return;
        }
        try {
            const response = await fetch(window.location.href, {
                headers: {"X-Rele-Part": "1"},
                cache: "no-store",
                signal: AbortSignal.timeout(4 * wait),
            });
            if (response.redirected || response.status === 403) {
                sayItIsLate("— you are logged out, or may no longer see this. Reload the page.");
            } else if (!response.ok) {
                sayItIsLate(`— not updated since: the server answered ${response.status}.`);
            } else {
                const text = await response.text();
                if (!isSelecting()) {
                    replace(text);
                }
            }
        } catch {
            sayItIsLate("— not updated since: the server does not answer.");
        }
    }

    async function updateAgainAndAgain() {
        await update();
        window.setTimeout(updateAgainAndAgain, wait);
    }

    page.classList.add("rele-live");
    window.setTimeout(updateAgainAndAgain, wait);
    document.addEventListener("visibilitychange", update);
});
