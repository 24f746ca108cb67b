// Atelier: what the page itself must do. The WebUI loads every file of this folder.

(function () {
    "use strict";

    const WIRED = [200, 5000];  // milliseconds until it is asked again whether the page is wired: at first, at most
    const LOOK_AGAIN = 1200;  // milliseconds, while something that is seen is not over
    // The lists with cards to choose from, what a click on one is written into, and how often they change.
    const LISTS = [
        {list: "atelier_jobs", card: "atelierJob", chosen: "atelier_job",
            look: "atelier_jobs_refresh", message: "atelier_jobs_message", every: 0},
        {list: "atelier_trainings", card: "atelierTraining", chosen: "atelier_training",
            look: "atelier_training_look", message: "atelier_training_message", every: 3000},
        {list: "atelier_merges", card: "atelierMerge", chosen: "atelier_merge",
            look: "atelier_merge_look", message: "atelier_merge_message", every: 3000},
        {list: "atelier_datasets", card: "atelierDataset", chosen: "atelier_dataset",
            look: "atelier_datasets_refresh", message: "atelier_datasets_message", every: 5000},
    ];
    // milliseconds without an answer before it is asked for again: at first, at most
    const PATIENCE = [10000, 120000];

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

    // gradio shows a button some time before it listens to it, and does not say when it does.
    function reloadUntilAnswered(wait) {
        if (!element("atelier_accounts")?.querySelector("[data-atelier-answered]")) {
            reloadAccounts();
            setTimeout(() => reloadUntilAnswered(Math.min(2 * wait, WIRED[1])), wait);
        }
    }

    function choose(which, card) {
        const field = element(which.chosen).querySelector("textarea, input");
        field.value = card.dataset[which.card];
        updateInput(field);
        mark(which);
        setTimeout(() => press(which.chosen + "_show"), 50);
    }

    function mark(which) {
        const chosen = element(which.chosen)?.querySelector("textarea, input")?.value;
        element(which.list)?.querySelectorAll(".atelier-card").forEach((card) => {
            card.setAttribute("aria-pressed", String(card.dataset[which.card] === chosen));
        });
    }

    // A LoRA's card writes its tag into the prompt, or takes it out again.
    function takeLora(card) {
        const field = element(tabOf(card) + "_prompt").querySelector("textarea");
        const name = card.dataset.atelierLora;
        const weight = window.opts?.extra_networks_default_multiplier ?? 1;
        const rest = field.value.replace(tagOf(name, "g"), "");
        field.value = rest === field.value ? (rest && rest.trimEnd() + " ") + `<lora:${name}:${weight}>` : rest;
        updateInput(field);
        markShelf(card.closest(".atelier-shelf"));
    }

    function takeVae(card) {
        const tab = tabOf(card);
        const isOn = card.getAttribute("aria-pressed") === "true";
        const field = element(`atelier_${tab}_vae_picked`).querySelector("textarea, input");
        field.value = isOn ? "Automatic" : card.dataset.atelierVae;
        updateInput(field);
        setTimeout(() => press(`atelier_${tab}_vae_pick`), 50);
    }

    function tabOf(card) {
        return card.closest("[id^=atelier_shelf_]").id.match(/^atelier_shelf_(\w+)_pane$/)[1];
    }

    function tagOf(name, flags) {
        return new RegExp(`\\s*<lora:${name.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")}(:[^>]*)?>`, flags);
    }

    function markShelf(shelf) {
        if (!shelf?.offsetParent) {
            return;
        }
        const tab = tabOf(shelf);
        const prompt = element(tab + "_prompt").querySelector("textarea").value;
        const vae = element(`atelier_${tab}_vae`).querySelector("input")?.value;
        shelf.querySelectorAll(".atelier-card").forEach((card) => {
            const lora = card.dataset.atelierLora;
            const isOn = lora === undefined ? card.dataset.atelierVae === vae : tagOf(lora).test(prompt);
            card.setAttribute("aria-pressed", String(isOn));
        });
    }

    function search(field) {
        const wanted = field.value.toLowerCase();
        field.closest(".atelier-shelf").querySelectorAll("[role=listitem]").forEach((item) => {
            item.classList.toggle("atelier-hidden", !item.textContent.toLowerCase().includes(wanted));
        });
    }

    // A cloud that is slow or gone must not fill the WebUI's queue, which all its tabs share.
    function watch(which) {
        let answered = null;
        let patience = PATIENCE[0];
        let notBefore = 0;

        function hearAnswer() {
            const last = element(which.message)?.querySelector("[data-atelier-answered]")?.dataset.atelierAnswered;
            if (last && last !== answered) {
                answered = last;
                patience = PATIENCE[0];
                notBefore = Date.now() + which.every;
            }
        }

        return () => {
            const list = element(which.list);
            const seen = list && list.offsetParent !== null && !document.hidden;
            hearAnswer();
            if (seen && Date.now() >= notBefore && list.querySelector("[data-atelier-waits]")) {
                notBefore = Date.now() + patience;
                patience = Math.min(2 * patience, PATIENCE[1]);
                press(which.look);
            }
        };
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
    function keepPlace(which) {
        let focused = null;
        const list = element(which.list);
        if (!list) {
            return;
        }
        list.addEventListener("focusin", (event) => {
            focused = event.target.dataset[which.card];
        });
        new MutationObserver(() => {
            mark(which);
            const lost = document.activeElement === document.body;
            const same = [...list.querySelectorAll(".atelier-card")].find((card) => {
                return card.dataset[which.card] === focused;
            });
            if (focused && lost) {
                same?.focus({preventScroll: true});
            }
        }).observe(list, {childList: true, subtree: true});
        document.addEventListener("focusin", (event) => {
            if (!list.contains(event.target)) {
                focused = null;
            }
        });
    }

    // gradio shows nothing while a button's files are on their way to the WebUI.
    function tellOfSending(field) {
        const told = field.parentElement.querySelector(".atelier-sending") || document.createElement("span");
        told.className = "atelier-sending";
        told.setAttribute("role", "status");
        told.textContent = `${field.files.length} files are on their way to the WebUI…`;
        field.parentElement.append(told);
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

    // An event that comes while the one before is not answered is lost: what is of another account is asked for again.
    function askAgain() {
        gradioApp().querySelectorAll("[data-atelier-of]").forEach((mark) => {
            const menu = element(mark.dataset.atelierIn)?.querySelector("input");
            const isWritten = menu === menu?.getRootNode().activeElement;
            if (menu && !isWritten && mark.offsetParent && menu.value !== mark.dataset.atelierOf) {
                press(mark.dataset.atelierAgain);
            }
        });
    }

    // So is what was chosen while the one before was on its way; once, for a cloud may refuse it.
    const missed = {};
    function showAgain() {
        gradioApp().querySelectorAll("[data-atelier-shown]").forEach((mark) => {
            if (!mark.offsetParent) {
                return;
            }
            const {atelierChosen: field, atelierShown: shown} = mark.dataset;
            const chosen = element(field)?.querySelector("textarea, input")?.value;
            const instead = chosen && chosen !== shown ? `${chosen} ${shown}` : "";
            if (instead && instead !== missed[field]) {
                press(field + "_show");
            }
            missed[field] = instead;
        });
    }

    // What is of another account goes at once, and only then: a menu tells of its account again and again.
    const accounts = {};
    window.atelierChanged = (pane, account, cleared, again) => {
        if (accounts[pane] === account) {
            return cleared.map(() => ({__type__: "update"}));
        }
        accounts[pane] = account;
        setTimeout(() => again && atelierPress(again), 50);
        return cleared;
    };

    // What is out of sight is asked for when it comes in sight.
    window.atelierPress = (id) => {
        if (element(id)?.closest("[id^=atelier_pane_]")?.offsetParent) {
            press(id);
        }
    };

    // What an act changed: a press is lost while the answer to the one before, which may be older than the act, is on
    // its way. So it is pressed again when the next answer is there.
    window.atelierPressAfresh = (id) => {
        const message = element(id.replace(/_[a-z]+$/, "_message"));
        const last = () => message.querySelector("[data-atelier-answered]")?.dataset.atelierAnswered;
        const before = last();
        new MutationObserver((_, observer) => {
            if (last() && last() !== before) {
                observer.disconnect();
                setTimeout(() => atelierPress(id), 50);
            }
        }).observe(message, {childList: true, subtree: true});
        atelierPress(id);
    };
    window.atelierSent = () => {
        gradioApp().querySelectorAll(".atelier-sending").forEach((told) => told.remove());
    };
    window.atelierReloadAccounts = reloadAccounts;

    document.addEventListener("click", (event) => {
        const card = event.composedPath()[0].closest?.(".atelier-card");
        const which = LISTS.find((each) => card?.dataset[each.card]);
        if (which) {
            choose(which, card);
        } else if (card?.dataset.atelierLora) {
            takeLora(card);
        } else if (card?.dataset.atelierVae) {
            takeVae(card);
        }
    });

    document.addEventListener("input", (event) => {
        const field = event.composedPath()[0];
        if (field.matches?.(".atelier-search")) {
            search(field);
        }
    });

    document.addEventListener("change", (event) => {
        const field = event.composedPath()[0];
        if (field.matches?.("#atelier_dataset_files input[type=file]") && field.files.length) {
            tellOfSending(field);
        }
    });

    onUiLoaded(() => {
        setTimeout(() => reloadUntilAnswered(WIRED[0]), WIRED[0]);
        LISTS.forEach(keepPlace);
        gradioApp().querySelectorAll("[id^=atelier_] > .label-wrap:not(button)").forEach(openByKeyboard);
        gradioApp().querySelectorAll("[id^=atelier_pane_]:not(button), [id^=atelier_shelf_][id$=_pane]")
            .forEach(refreshWhenSeen);
        const looks = LISTS.map(watch);
        setInterval(() => {
            looks.forEach((look) => look());
            askAgain();
            showAgain();
            gradioApp().querySelectorAll(".atelier-shelf").forEach(markShelf);
        }, LOOK_AGAIN);
    });
})();
