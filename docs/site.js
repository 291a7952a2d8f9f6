// What scrolls sideways can be reached by keyboard, and each bar of a block has a name of its own.
document$.subscribe(() => {
  for (const wide of document.querySelectorAll(".md-typeset__scrollwrap")) wide.tabIndex = 0;
  document.querySelectorAll("nav.md-code__nav").forEach((bar, at) =>
    bar.setAttribute("aria-label", `Block ${at + 1}`));
  document.querySelector(".md-search")?.setAttribute("aria-label", "Search");
  // Pages opened from disk have no search, as a browser starts no worker there: no button for it.
  for (const button of document.querySelectorAll('.md-header__button[for="__search"]'))
    button.hidden = button.hidden || location.protocol === "file:";
});
