// Arcs from earlier turns to the one that they moved: the thicker, the more; dashed from those that were against its emotion.

const [THIN_PX, THICK_PX, HALO_PX] = [1.2, 3.5, 1.2];
const [LOW_PX, HIGH_PX, WIDE_PX] = [6, 24, 180]; // of an arc within a lane: the wider, the higher, within the first lane's margin
const ARROW_PX = 4.5;

/** `influences` as in influences.js. `boxOf` gives the {left, right, top, bottom} of a turn's block. */
export function arcs(context, target, influences, boxOf, colours) {
  const most = Math.max(...influences.map(({ weight }) => Math.abs(weight)));
  const ends = endsOf(boxOf(target), influences);
  for (const { event, weight } of [...influences].sort((a, b) => a.event.start_s - b.event.start_s)) { // short ones are on top
    const curve = curveBetween(boxOf(event), boxOf(target), ends.get(event));
    const thick = THIN_PX + (THICK_PX - THIN_PX) * (Math.abs(weight) / most);
    stroke(context, curve, thick + 2 * HALO_PX, colours.card, []);
    stroke(context, curve, thick, colours.ink, weight < 0 ? [5, 4] : []);
    arrow(context, curve, colours);
  }
}

/** Where each of them ends: side by side over the block, the earliest at the left, so that they cross little. */
function endsOf({ left, right }, influences) {
  const ordered = influences.map(({ event }) => event).sort((a, b) => a.start_s - b.start_s);
  return new Map(ordered.map((event, index) => [event, left + ((index + 1) / (ordered.length + 1)) * (right - left)]));
}

/** [start, first control, second control, end]. Between lanes from edge to edge, within a lane over its blocks. */
function curveBetween(from, to, x) {
  const begin = (from.left + from.right) / 2;
  if (from.top === to.top) {
    const y = from.top - HIGH_PX + (HIGH_PX - LOW_PX) * Math.exp((begin - x) / WIDE_PX);
    return [[begin, from.top], [begin, y], [x, y], [x, to.top]];
  }
  const [start, end] = from.top < to.top ? [from.bottom, to.top] : [from.top, to.bottom];
  const middle = (start + end) / 2;
  return [[begin, start], [begin, middle], [x, middle], [x, end]];
}

function stroke(context, [start, ...rest], width, colour, dash) {
  context.beginPath();
  context.moveTo(...start);
  context.bezierCurveTo(...rest.flat());
  context.strokeStyle = colour;
  context.lineWidth = width;
  context.setLineDash(dash);
  context.stroke();
  context.setLineDash([]);
}

/** It ends upright, so the arrow points up or down. */
function arrow(context, [, , [, before], [x, y]], { ink }) {
  const back = Math.sign(before - y) * ARROW_PX;
  context.beginPath();
  context.moveTo(x, y);
  context.lineTo(x - ARROW_PX * 0.8, y + back);
  context.lineTo(x + ARROW_PX * 0.8, y + back);
  context.fillStyle = ink;
  context.fill();
}
