// Atelier: what the page itself must do. The WebUI loads every file of this folder.

(function () {
    "use strict";

    // gradio shows a button some time before it listens to it, and does not say when it does.
    const WIRED = [200, 1000, 3000];
    const LOOK_AGAIN = 1200;  // milliseconds, while a job that is seen is not over
    // milliseconds without an answer before it is asked for again: at first, at most
    const PATIENCE = [10000, 120000];

    let chosen = null;
    let answered = null;
    let patience = PATIENCE[0];
    let notBefore = 0;

    function element(id) {
        return gradioApp().querySelector("#" + id);
    }

    function press(id) {
        const found = element(id);
        const button = found && (found.matches("button") ? found : found.querySelector("button"));
        if (button) {
            button.click();
        }
    }

    // The page is made once, when the WebUI starts: accounts that came later are asked for.
    function reloadAccounts() {
        press("atelier_txt2img_reload");
        press("atelier_img2img_reload");
        press("atelier_accounts_refresh");
    }

    function choose(card) {
        const field = element("atelier_job").querySelector("textarea, input");
        chosen = card.dataset.atelierJob;
        field.value = chosen;
        updateInput(field);
        mark(chosen);
        setTimeout(() => press("atelier_job_show"), 50);
    }

    function mark(job) {
        gradioApp().querySelectorAll("[data-atelier-job]").forEach((card) => {
            card.setAttribute("aria-pressed", String(card.dataset.atelierJob === job));
        });
    }

    // A cloud that is slow or gone must not fill the WebUI's queue, which all its tabs share.
    function lookAgain() {
        const jobs = element("atelier_jobs");
        const seen = jobs && jobs.offsetParent !== null && !document.hidden;
        hearAnswer();
        if (seen && Date.now() >= notBefore && jobs.querySelector("[data-atelier-waits]")) {
            notBefore = Date.now() + patience;
            patience = Math.min(2 * patience, PATIENCE[1]);
            press("atelier_jobs_refresh");
        }
    }

    function hearAnswer() {
        const mark = element("atelier_jobs_message")?.querySelector("[data-atelier-answered]");
        const last = mark?.dataset.atelierAnswered;
        if (last && last !== answered) {
            answered = last;
            patience = PATIENCE[0];
            notBefore = 0;
        }
    }

    // What a pane shows is asked for when it comes in sight.
    function refreshWhenSeen(pane) {
        let seen = false;
        new ResizeObserver(() => {
            const now = pane.offsetParent !== null;
            if (now && !seen) {
                press(pane.id.replace("_pane", "") + "_refresh");
            }
            seen = now;
        }).observe(pane);
    }

    // A new list is new elements: the one that was chosen and the one that had the focus have them again.
    function keepPlace() {
        let focused = null;
        const jobs = element("atelier_jobs");
        if (!jobs) {
            return;
        }
        jobs.addEventListener("focusin", (event) => {
            focused = event.target.dataset.atelierJob;
        });
        new MutationObserver(() => {
            mark(chosen);
            const lost = document.activeElement === document.body;
            if (focused && lost) {
                jobs.querySelector(`[data-atelier-job="${CSS.escape(focused)}"]`)?.focus();
            }
        }).observe(jobs, {childList: true, subtree: true});
        document.addEventListener("focusin", (event) => {
            if (!jobs.contains(event.target)) {
                focused = null;
            }
        });
    }

    // gradio 3 opens its accordions by the mouse alone.
    function openByKeyboard(label) {
        label.tabIndex = 0;
        label.setAttribute("role", "button");
        label.addEventListener("keydown", (event) => {
            if (event.key === "Enter" || event.key === " ") {
                event.preventDefault();
                label.click();
            }
        });
    }

    // What is out of sight is asked for when it comes in sight.
    window.atelierPress = (id) => {
        if (element(id)?.offsetParent) {
            press(id);
        }
    };
    window.atelierReloadAccounts = reloadAccounts;

    document.addEventListener("click", (event) => {
        const card = event.composedPath()[0].closest?.("[data-atelier-job]");
        if (card) {
            choose(card);
        }
    });

    onUiLoaded(() => {
        WIRED.forEach((wait) => setTimeout(reloadAccounts, wait));
        keepPlace();
        gradioApp().querySelectorAll("[id^=atelier_] > .label-wrap:not(button)").forEach(openByKeyboard);
        gradioApp().querySelectorAll("[id^=atelier_pane_]:not(button)").forEach(refreshWhenSeen);
        setInterval(lookAgain, LOOK_AGAIN);
    });
})();
