"use strict";
// The browser's own range inputs lie over the pictures: mouse, touch and keys all move them.
document.addEventListener("input", (event) => {
  event.target.parentElement.style.setProperty("--cut", event.target.value + "%");
});
