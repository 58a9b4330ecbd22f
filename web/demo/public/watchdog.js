// Shows errors of the page's module in the page. A module that does not load cannot do that itself.
(function () {
  function show(words) {
    var box = document.getElementById("broken");
    if (box && box.hidden) {
      box.hidden = false;
      box.textContent = "A part of this page has failed: " + words + " Reload the page to try again.";
    }
  }
  addEventListener(
    "error",
    function (event) {
      if (event.target instanceof HTMLScriptElement) {
        document.addEventListener("DOMContentLoaded", function () {
          show("its script could not be loaded.");
        });
      } else if (event.message && !/^ResizeObserver loop/.test(event.message)) {
        // Browsers report that loop as an error, although nothing fails by it.
        show(event.message + ".");
      }
    },
    true,
  );
  addEventListener("unhandledrejection", function (event) {
    show(String((event.reason && event.reason.message) || event.reason) + ".");
  });
})();
