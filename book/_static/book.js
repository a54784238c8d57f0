// What is wider than the page scrolls in its own box; let the keyboard reach it.
window.addEventListener("load", async () => {
  await window.MathJax?.startup?.promise;
  for (const box of document.querySelectorAll("div.math, mjx-container[display], .bd-content figure")) {
    if (box.scrollWidth > box.clientWidth && getComputedStyle(box).overflowX === "auto") box.tabIndex = 0;
  }
  for (const formula of document.querySelectorAll("span.math > mjx-container")) {
    if (formula.offsetWidth > formula.closest("p, li, td, dd, figcaption, div").clientWidth) {
      formula.classList.add("wide-formula");
      formula.tabIndex = 0;
    }
  }
});
