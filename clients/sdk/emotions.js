// How emotions are drawn.

/** A letter and a colour per emotion; the colours are for a dark ground. */
export const EMOTIONS = {
  neutral: { letter: "N", colour: "#9aa3b2" },
  joy: { letter: "J", colour: "#f2b93b" },
  happiness: { letter: "H", colour: "#f2b93b" },
  excitement: { letter: "E", colour: "#ff9d5c" },
  surprise: { letter: "Su", colour: "#3fc6cf" },
  sadness: { letter: "Sa", colour: "#7fb0ff" },
  fear: { letter: "Fe", colour: "#bb98ff" },
  disgust: { letter: "D", colour: "#93cc5e" },
  anger: { letter: "A", colour: "#ff8078" },
  frustration: { letter: "Fr", colour: "#f58db4" },
};
