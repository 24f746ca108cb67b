// What a WebUI gives the JavaScript of its extensions, and what its own buttons need.
const opts = {};
const loaded = [], updated = [], changed = [];

function gradioApp() {
    const app = document.querySelector("gradio-app");
    return app ? app.shadowRoot || app : document;
}

function onUiLoaded(callback) { loaded.push(callback); }
function onUiUpdate(callback) { updated.push(callback); }
function onAfterUiUpdate(callback) { updated.push(callback); }
function onUiTabChange(callback) { changed.push(callback); }
function onOptionsChanged(callback) {}
function get_uiCurrentTab() { return gradioApp().querySelector("#tabs > .tab-nav > button.selected"); }
function get_uiCurrentTabContent() {
    return gradioApp().querySelector('#tabs > .tabitem[id^=tab_]:not([style*="display: none"])');
}
function selected_gallery_index() {
    const buttons = [...gradioApp().querySelectorAll('[style="display: block;"] .thumbnail-item.thumbnail-small')];
    return buttons.findIndex((each) => each.classList.contains("selected"));
}
function updateInput(target) { target.dispatchEvent(new Event("input", {bubbles: true})); }
const standin = {
    asked: 0,

    button(tab, name) { return gradioApp().querySelector(`#${tab}_${name}`); },

    // Interrupt and Skip are there while something is made.
    busy(tab, is) {
        for (const name of ["interrupt", "skip"]) this.button(tab, name).style.display = is ? "block" : "none";
        this.button(tab, "generate").style.display = is ? "none" : "block";
    },

    submit(tab, values) {
        const task = `task(${Math.random().toString(36).slice(2)}${Math.random().toString(36).slice(2)})`;
        this.asked += 1;
        this.busy(tab, true);
        this.watch(tab, task);
        return [task, ...values.slice(1)];
    },

    async watch(tab, task) {
        const bar = document.createElement("div");
        bar.className = "progressDiv";
        const gallery = gradioApp().querySelector(`#${tab}_gallery`);
        gallery.parentNode.insertBefore(bar, gallery);
        for (let told = {}; !told.completed; await new Promise((done) => setTimeout(done, 200))) {
            const answer = await fetch("./internal/progress", {
                method: "POST",
                headers: {"Content-Type": "application/json"},
                body: JSON.stringify({id_task: task}),
            });
            told = await answer.json();
            bar.textContent = [told.textinfo, told.progress && `${Math.round(told.progress * 100)}%`].filter(Boolean).join(" ");
        }
        bar.remove();
        this.busy(tab, false);
    },
};

document.addEventListener("DOMContentLoaded", () => {
    let is = false, tab = null;
    const observer = new MutationObserver((records) => {
        if (!is && standin.button("txt2img", "generate") && standin.button("img2img", "generate")) {
            is = true;
            for (const each of ["txt2img", "img2img"]) standin.busy(each, false);
            loaded.forEach((each) => each());
        }
        updated.forEach((each) => each(records));
        if (tab !== get_uiCurrentTab()) {
            tab = get_uiCurrentTab();
            changed.forEach((each) => each());
        }
    });
    observer.observe(gradioApp(), {childList: true, subtree: true});
});
