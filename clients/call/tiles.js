// A tile for each person of the call: their picture, name, and emotion.

import { emotionOverlay } from "/sdk/cberl.js";
import { html } from "/static/dom.js";
import { words } from "/static/strings.js";

export class Tiles {
  #tiles = new Map(); // id -> {tile, video, overlay, name}

  /** `subscription` is of the conversation's events. */
  constructor(stage, subscription) {
    Object.assign(this, { stage, subscription });
  }

  /** `own`: {video} of this page's person, which is there already. */
  add(id, name, own = null) {
    const video = own?.video ?? html("video", { autoplay: "", playsinline: "" });
    const tile = own?.tile ?? html("article", {}, video);
    tile.className = own ? "tile own" : "tile";
    tile.ariaLabel = name;
    const label = html("p", { class: "name" }, html("b", { title: name }, name), html("span", { class: "state" }));
    const initial = html("p", { class: "initial", "aria-hidden": "true" }, [...name][0].toUpperCase());
    tile.append(initial, label);
    if (!own) this.stage.append(tile);
    const overlay = emotionOverlay(video, { speaker: name, subscription: this.subscription });
    this.#tiles.set(id, { tile, video, overlay, name, added: [initial, label] });
    this.#count();
  }

  remove(id) {
    const { tile, overlay, added } = this.#tiles.get(id);
    overlay.remove();
    if (tile.classList.contains("own")) for (const element of added) element.remove();
    else tile.remove();
    this.#tiles.delete(id);
    this.#count();
  }

  clear() {
    for (const id of [...this.#tiles.keys()]) this.remove(id);
  }

  show(id, stream) {
    const found = this.#tiles.get(id);
    if (found && found.video.srcObject !== stream) found.video.srcObject = stream;
  }

  /** `analyse` as in `publish`; muted and camera as booleans. */
  describe(id, { muted, camera, analyse }) {
    const found = this.#tiles.get(id);
    if (!found) return;
    found.tile.dataset.camera = camera ? "on" : "off";
    const told = [muted && words.call.muted, !camera && words.call.noCamera, analyse && words.call.analysed[analyse]];
    found.tile.querySelector(".state").textContent = told.filter(Boolean).join(" · ");
  }

  #count() {
    this.stage.dataset.people = this.#tiles.size;
  }
}
