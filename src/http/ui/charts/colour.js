// Colours that people with colour blindness tell apart: Okabe and Ito's for series, viridis from dark to light for values.

export const SERIES = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442", "#666666"];

// Lightness rises all the way, so the scale also reads in grey.
const SCALE = [
  [68, 1, 84],
  [72, 40, 120],
  [62, 73, 137],
  [49, 104, 142],
  [38, 130, 142],
  [31, 158, 137],
  [53, 183, 121],
  [110, 206, 88],
  [181, 222, 43],
  [253, 231, 37],
];

/** Red, green and blue of a value between 0 and 1. */
export function scale(value) {
  const at = Math.min(Math.max(value, 0), 1) * (SCALE.length - 1);
  const low = Math.min(Math.floor(at), SCALE.length - 2);
  const part = at - low;
  return SCALE[low].map((colour, channel) => Math.round(colour + (SCALE[low + 1][channel] - colour) * part));
}

/** The scale in so many steps, each four bytes as a canvas keeps them. */
const STEPS = 1024;
const TABLE = new Uint32Array(new Uint8Array(Array.from({ length: STEPS + 1 }, (_, at) => [...scale(at / STEPS), 255]).flat()).buffer);

/** The pixel of a value between 0 and 1. */
export const pixel = (value) => TABLE[Math.round(Math.min(Math.max(value, 0), 1) * STEPS)];

export const css = ([red, green, blue]) => `rgb(${red}, ${green}, ${blue})`;
