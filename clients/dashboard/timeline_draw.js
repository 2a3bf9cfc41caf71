// Draws the timeline on a canvas: a lane per speaker, a block per turn. Letters, hatching and outlines repeat what colour says.

import { clock } from "./format.js";
import { GLYPHS } from "./glyphs.js";
import { letterOf } from "./marks.js";
import { arcs } from "./timeline_arcs.js";
import { ticks } from "./timeline_scale.js";

const [LANE, BLOCK, NAME, AXIS] = [52, 24, 15, 18]; // heights in px: of a lane, its block, its name, the axis
const MARGIN_PX = 2; // left and right of a letter; a narrower block has none
const FINE_PX = 5; // and a narrower one is a plain line: nothing finer could be seen in it
const FONT = "system-ui, sans-serif";
const FADE_MS = 400;
const paths = Object.fromEntries(Object.entries(GLYPHS).map(([name, path]) => [name, new Path2D(path)]));

export const heightOf = (lanes) => Math.max(1, lanes.size) * LANE + AXIS;

/** The name of the lane at this height, or undefined. */
export const laneAt = (lanes, y) => [...lanes.keys()][Math.floor(y / LANE)];

/**
 * `scene`: {lanes, interims, range, width, at, selected, moved, colours, now_ms, seen}, where `moved` is null or
 * {target, influences}. Returns whether it must be drawn again.
 */
export function draw(context, scene) {
  const { lanes, range: [from, to], width, colours } = scene;
  const x = (seconds) => ((seconds - from) / (to - from)) * width;
  context.clearRect(0, 0, width, heightOf(lanes));
  axis(context, scene, x);
  let fading = false;
  [...lanes].forEach(([name, lane], index) => {
    const top = index * LANE;
    context.fillStyle = colours.sunk;
    context.fillRect(0, top + NAME + 4, width, BLOCK + 2);
    label(context, name, top, width, colours);
    visible(lane, from, to, x).forEach((event) => block(context, scene, event, x, top + NAME + 5));
    for (const event of scene.interims.filter(({ speaker }) => speaker === name)) {
      fading = interim(context, scene, event, x, top + NAME + 5) || fading;
    }
  });
  if (scene.at !== null) playhead(context, scene, x);
  if (scene.moved) arcs(context, scene.moved.target, scene.moved.influences, (event) => boxOf(event, lanes, x), colours);
  return fading;
}

function boxOf({ speaker, start_s, end_s }, lanes, x) {
  const top = [...lanes.keys()].indexOf(speaker) * LANE + NAME + 5;
  return { left: x(start_s), right: x(end_s), top, bottom: top + BLOCK };
}

/** Without those that another one hides, at most two for each pixel. */
function visible(lane, from, to, x) {
  let last = -1;
  return lane.filter(({ start_s, end_s }) => {
    if (end_s < from || start_s > to || x(end_s) < last + 0.5) return false;
    last = x(end_s);
    return true;
  });
}

function axis(context, { lanes, range, width, colours }, x) {
  const bottom = heightOf(lanes) - AXIS;
  context.font = `11px ${FONT}`;
  context.textBaseline = "middle";
  context.textAlign = "left";
  for (const at of ticks(range, width)) {
    context.fillStyle = colours.line;
    context.fillRect(Math.round(x(at)), 0, 1, bottom + 4);
    context.fillStyle = colours.soft;
    if (x(at) < width - 32) context.fillText(clock(at), Math.round(x(at)) + 3, bottom + AXIS / 2 + 3);
  }
}

function label(context, name, top, width, colours) {
  context.font = `600 12px ${FONT}`;
  context.textAlign = "left";
  context.textBaseline = "middle";
  let shown = name;
  while (shown.length > 1 && context.measureText(shown).width > width - 8) shown = `${shown.slice(0, -2)}…`;
  context.fillStyle = colours.card; // so that lines of the axis do not cross the name
  context.fillRect(0, top + 2, Math.min(width, context.measureText(shown).width + 6), NAME);
  context.fillStyle = colours.ink;
  context.fillText(shown, 1, top + NAME / 2 + 2);
}

function block(context, scene, event, x, top) {
  const { colours, at, selected } = scene;
  const left = x(event.start_s);
  const wide = Math.max(2, x(event.end_s) - left - 1);
  const colour = colours.of(event.emotion);
  const future = at !== null && event.end_s > at;
  if (wide < FINE_PX && event.utterance !== selected) {
    context.globalAlpha = future ? 0.12 : event.uncertain ? 0.35 : 0.35 + 0.65 * event.confidence;
    context.fillStyle = colour;
    context.fillRect(left, top, wide, BLOCK);
    context.globalAlpha = 1;
    return;
  }
  context.globalAlpha = future ? 0.12 : event.uncertain ? 1 : 0.35 + 0.65 * event.confidence;
  shape(context, left, top, wide, colour, event.uncertain && !future, colours.card);
  context.globalAlpha = future ? 0.3 : 1;
  context.font = `700 12px ${FONT}`;
  if (wide >= context.measureText(letterOf(event.emotion)).width + 2 * MARGIN_PX) {
    context.textAlign = "center";
    context.textBaseline = "middle";
    const faint = event.uncertain || event.confidence < 0.55 || future;
    context.fillStyle = faint ? colours.ink : colours.on;
    context.fillText(letterOf(event.emotion), left + wide / 2, top + BLOCK / 2 + 1);
  }
  if (event.status === "corrected") corner(context, left + wide, top, colours.ink);
  (event.vocal_events ?? []).forEach((name, index) => glyph(context, name, left + wide / 2 - 6 + 14 * index, top - 15, colours.ink));
  context.globalAlpha = 1;
  if (event.utterance === selected) outline(context, left, top, wide, colours.accent, []);
}

function shape(context, left, top, wide, colour, hatched, card) {
  context.fillStyle = hatched ? card : colour;
  context.beginPath();
  context.roundRect(left, top, wide, BLOCK, Math.min(4, wide / 2));
  context.fill();
  if (!hatched) return;
  context.save();
  context.clip();
  context.strokeStyle = colour;
  context.lineWidth = 1.2;
  context.beginPath();
  for (let at = left - BLOCK; at < left + wide; at += 6) {
    context.moveTo(at, top + BLOCK);
    context.lineTo(at + BLOCK, top);
  }
  context.stroke();
  context.lineWidth = 3;
  context.strokeRect(left, top, wide, BLOCK);
  context.restore();
}

/** Fades in. Returns whether it is still fading. */
function interim(context, { colours, now_ms, seen }, event, x, top) {
  const left = x(event.start_s);
  const wide = Math.max(4, x(event.end_s) - left - 1);
  const age = Math.min(1, (now_ms - seen(event.utterance)) / FADE_MS);
  context.globalAlpha = 0.45 * age;
  shape(context, left, top, wide, colours.of(event.emotion), false, colours.card);
  context.globalAlpha = age;
  outline(context, left, top, wide, colours.of(event.emotion), [4, 3]);
  context.globalAlpha = 1;
  return age < 1;
}

function outline(context, left, top, wide, colour, dash) {
  context.strokeStyle = colour;
  context.lineWidth = 2;
  context.setLineDash(dash);
  context.strokeRect(left - 1, top - 1, wide + 2, BLOCK + 2);
  context.setLineDash([]);
}

function corner(context, right, top, colour) {
  context.fillStyle = colour;
  context.beginPath();
  context.moveTo(right - 8, top);
  context.lineTo(right, top);
  context.lineTo(right, top + 8);
  context.fill();
}

function glyph(context, name, left, top, colour) {
  if (!paths[name]) return;
  context.save();
  context.translate(left, top);
  context.strokeStyle = colour;
  context.lineWidth = 1.3;
  context.stroke(paths[name]);
  context.restore();
}

function playhead(context, { at, lanes, colours }, x) {
  context.fillStyle = colours.accent;
  context.fillRect(Math.round(x(at)) - 1, 0, 2, heightOf(lanes) - AXIS + 4);
}
