// Atelier: what the page itself must do. The WebUI loads every file of this folder.

(function () {
    "use strict";

    function press(id) {
        const button = gradioApp().getElementById
            ? gradioApp().getElementById(id)
            : gradioApp().querySelector("#" + id);
        if (button) {
            button.click();
        }
    }

    // The page is made once, when the WebUI starts: accounts that came later are asked for.
    function reloadAccounts() {
        press("atelier_txt2img_reload");
        press("atelier_img2img_reload");
    }

    window.atelierReloadAccounts = reloadAccounts;
    onUiLoaded(reloadAccounts);
})();
