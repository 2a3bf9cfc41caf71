// A drawing of each vocal event in a square of 12, for canvas.

export const GLYPHS = {
  laughter: "M1.5 5.5a4.5 4.5 0 0 0 9 0Z M3 2.5v1.5 M9 2.5v1.5",
  crying: "M6 1.5C4 4.5 3 6 3 7.5a3 3 0 0 0 6 0C9 6 8 4.5 6 1.5Z",
  sigh: "M1 4.5h6a1.8 1.8 0 1 0-1.8-1.8 M1 7.5h8.2a1.7 1.7 0 1 1-1.7 1.7",
  scream: "M6 1v6 M6 9.6v.8 M2 2.5l1.3 3 M10 2.5l-1.3 3",
  panting: "M1.5 3 4.5 6l-3 3 M6.5 3l3 3-3 3",
};
